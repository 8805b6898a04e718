/*
 * Errors are ints: DM_OK (0) or one of the codes of err.def, which alone says
 * what status, close code and text each has.
 */
#ifndef DM_BASE_ERR_H
#define DM_BASE_ERR_H

enum dm_err {
    DM_OK = 0,
#define DM_ERROR(name, status, close_code, code, text) DM_ERR_##name,
#include "base/err.def"
#undef DM_ERROR
    DM_ERR_COUNT
};

int dm_err_status(int err);       /* HTTP status; 200 for DM_OK */
int dm_err_close_code(int err);   /* RFC 6455 section 7.4; 0: none */
const char *dm_err_code(int err); /* "bad_request" */
const char *dm_err_text(int err); /* "Bad request" */

#endif
