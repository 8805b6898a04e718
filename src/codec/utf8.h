/*
 * UTF-8 (RFC 3629) and the code points that need care. Any thread, no state.
 */
#ifndef DM_CODEC_UTF8_H
#define DM_CODEC_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Well-formed: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool dm_utf8_valid(struct dm_slice text);

/* Takes the first code point off well-formed, non-empty text. */
uint32_t dm_utf8_next(struct dm_slice *text);

/* Without leading and trailing white space as ECMAScript's trim() sees it
 * (WhiteSpace and LineTerminator, so U+00A0, U+FEFF, U+2028 too). */
struct dm_slice dm_utf8_trim(struct dm_slice text);

#endif
