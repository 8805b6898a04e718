/* The error table. */
#include "base/err.h"

#include "base/check.h"

static const struct {
    int status, close_code;
    const char *code, *text;
} table[DM_ERR_COUNT] = {
    [DM_OK] = {200, 1000, "ok", "OK"},
#define DM_ERROR(name, status, close_code, code, text)                                             \
    [DM_ERR_##name] = {status, close_code, code, text},
#include "base/err.def"
#undef DM_ERROR
};

int dm_err_status(int err)
{
    DM_CHECK(err >= 0 && err < DM_ERR_COUNT);
    return table[err].status;
}

int dm_err_close_code(int err)
{
    DM_CHECK(err >= 0 && err < DM_ERR_COUNT);
    return table[err].close_code;
}

const char *dm_err_code(int err)
{
    DM_CHECK(err >= 0 && err < DM_ERR_COUNT);
    return table[err].code;
}

const char *dm_err_text(int err)
{
    DM_CHECK(err >= 0 && err < DM_ERR_COUNT);
    return table[err].text;
}
