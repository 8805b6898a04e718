/*
 * JSON (RFC 8259) as slices: the text is validated once and then walked in
 * place, so that a payload can be passed on byte for byte. Nothing is copied
 * but what is asked for. All functions but dm_json_valid take a value out of
 * text that dm_json_valid has accepted; on anything else they are undefined.
 * Any thread, no state.
 */
#ifndef DM_CODEC_JSON_H
#define DM_CODEC_JSON_H

#include "base/buf.h"
#include "base/uuid.h"

enum { DM_JSON_MAX_DEPTH = 128 };

enum dm_json_kind {
    DM_JSON_ABSENT, /* the slice is absent */
    DM_JSON_NULL,
    DM_JSON_BOOL,
    DM_JSON_NUMBER,
    DM_JSON_STRING,
    DM_JSON_ARRAY,
    DM_JSON_OBJECT,
};

/* Is `text` one JSON value, white space around it allowed, in well-formed
 * UTF-8, nested at most DM_JSON_MAX_DEPTH deep? No stack is used per level. */
bool dm_json_valid(struct dm_slice text);

/* The one value in validated text, without the white space around it. */
struct dm_slice dm_json_value(struct dm_slice text);

enum dm_json_kind dm_json_kind(struct dm_slice value);

/*
 * The members of an object or the elements of an array, in order. `key` and
 * `value` are slices of the text; a key has its quotes, as a string has, and
 * is absent in an array.
 *
 *   struct dm_json_walk walk = dm_json_walk(object);
 *   while (dm_json_next(&walk, &key, &value)) …
 */
struct dm_json_walk {
    const char *at, *end;
    bool object;
};
struct dm_json_walk dm_json_walk(struct dm_slice container);
bool dm_json_next(struct dm_json_walk *walk, struct dm_slice *key, struct dm_slice *value);

/* The member called `name` (plain UTF-8, compared after unescaping); of several
 * the last, as JSON.parse has it. Absent when there is none. */
struct dm_slice dm_json_get(struct dm_slice object, struct dm_slice name);

/* Does a string value (with its quotes) say exactly `text`? */
bool dm_json_string_is(struct dm_slice string, struct dm_slice text);

/*
 * Appends what a string value says. A lone surrogate (\ud800), which UTF-8
 * cannot say, is written as the three bytes it would have (WTF-8), so that two
 * strings are equal if and only if their decoded bytes are.
 */
void dm_json_decode(struct dm_buf *out, struct dm_slice string);

/* Appends `text` (UTF-8, or WTF-8 from dm_json_decode) as a string with its
 * quotes; lone surrogates become \udXXX again, controls \u00XX or \n and kin. */
void dm_json_encode(struct dm_buf *out, struct dm_slice text);

/* A number as the nearest double; an overflow is an infinity. */
double dm_json_number(struct dm_slice number);

/* Appends an id as a string. */
void dm_json_add_uuid(struct dm_buf *out, const struct dm_uuid *id);

#endif
