/*
 * The body of a publish or a send, read as net/ reads it: members, numbers,
 * types and targets are what a naive reading says, or are refused with words.
 * Inputs come in exact heap blocks.
 */
#include <h2o.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "model/limits.h"
#include "model/name.h"
#include "net/fields.h"
#include "net/loop.h"
#include "net/server.h"
#include "net/targets.h"

enum { TARGETS_MAX = 20 };

static struct dm_loop *make_loop(void)
{
    static struct dm_metrics metrics;
    static char *secrets[] = {"0123456789abcdef0123456789abcdef"};
    struct dm_auth_options auth_options = {.secrets = secrets, .secret_count = 1};
    struct dm_server_options options = {.shards = 1, .limits.max_targets = TARGETS_MAX};
    struct dm_buf why = DM_BUF_INIT;
    struct dm_auth *auth;
    DM_CHECK(dm_auth_create(&auth_options, &auth, &why) == DM_OK);
    return dm_loop_create(dm_server_create(&options, auth, NULL), 0, &metrics);
}

static void decode_trimmed(struct dm_slice string, struct dm_buf *out)
{
    struct dm_buf text = DM_BUF_INIT;
    dm_json_decode(&text, string);
    dm_buf_add_slice(out, dm_utf8_trim(dm_buf_slice(&text)));
    dm_buf_dispose(&text);
}

static void check_text(struct dm_request *request, const char *name)
{
    struct dm_slice raw = dm_json_get(request->body, dm_slice_of(name));
    struct dm_slice text = dm_field_text(request, request->body, name);
    struct dm_buf naive = DM_BUF_INIT;
    DM_CHECK((text.at != NULL) == (dm_json_kind(raw) == DM_JSON_STRING));
    DM_CHECK(dm_field_is(request->body, name) == (raw.at && dm_json_kind(raw) != DM_JSON_NULL));
    if (text.at) {
        decode_trimmed(raw, &naive);
        DM_CHECK(dm_slice_eq(text, dm_buf_slice(&naive)));
        DM_CHECK(dm_utf8_trim(text).len == text.len);
    }
    dm_buf_dispose(&naive);
}

static void check_number(struct dm_slice object, const char *name, double most)
{
    struct dm_slice raw = dm_json_get(object, dm_slice_of(name));
    enum dm_json_kind kind = dm_json_kind(raw);
    uint64_t got = UINT64_MAX;
    bool taken = dm_field_number(object, name, most, 7, &got);
    if (kind == DM_JSON_ABSENT || kind == DM_JSON_NULL) {
        DM_CHECK(taken && got == 7);
    } else if (kind == DM_JSON_NUMBER) {
        char *text = dm_strndup(raw.at, raw.len);
        double naive = strtod(text, NULL);
        free(text);
        DM_CHECK(taken == (naive >= 0 && naive <= most));
        DM_CHECK(!taken || ((double)got >= naive && (double)got < naive + 1));
    } else {
        DM_CHECK(!taken);
    }
}

static void check_type(struct dm_request *request)
{
    struct dm_slice type;
    int err = dm_field_type(request, request->body, &type);
    DM_CHECK(err == DM_OK || (err == DM_ERR_INVALID_FIELD && request->why.len));
    if (err)
        return;
    DM_CHECK(type.len >= 1 && type.len <= DM_TYPE_MAX);
    DM_CHECK(!dm_slice_starts(type, DM_SLICE("$")) && !dm_slice_starts(type, DM_SLICE("__")));
    DM_CHECK(!dm_slice_eq(type, DM_SLICE("whisper")));
}

/* Each element stands for what it says, and no userId is there twice. */
static void check_targets(const struct dm_targets *targets, struct dm_slice array)
{
    struct dm_json_walk walk = dm_json_walk(array);
    struct dm_slice key, value;
    uint32_t at = 0, invalid = 0;
    while (dm_json_next(&walk, &key, &value)) {
        struct dm_buf id = DM_BUF_INIT;
        uint32_t target = targets->target_of[at++];
        if (dm_json_kind(value) == DM_JSON_STRING)
            decode_trimmed(value, &id);
        invalid += target == DM_TARGET_INVALID;
        DM_CHECK(dm_user_id_valid(dm_buf_slice(&id)) == (target != DM_TARGET_INVALID));
        DM_CHECK(target == DM_TARGET_INVALID || target < targets->count);
        DM_CHECK(target == DM_TARGET_INVALID ||
                 dm_slice_eq(targets->ids[target], dm_buf_slice(&id)));
        dm_buf_dispose(&id);
    }
    DM_CHECK(at == targets->asked && invalid == targets->invalid);
    for (uint32_t i = 0; i < targets->count; i++)
        for (uint32_t j = 0; j < i; j++)
            DM_CHECK(!dm_slice_eq(targets->ids[i], targets->ids[j]));
}

static void read_targets(struct dm_request *request)
{
    struct dm_targets targets = {0};
    struct dm_slice array = dm_field(request->body, "userIds");
    if (array.at) {
        int err = dm_targets_read(request, array, &targets);
        DM_CHECK(err == DM_OK || err == DM_ERR_TOO_MANY_TARGETS ||
                 (err == DM_ERR_INVALID_FIELD && request->why.len));
        DM_CHECK(targets.asked <= TARGETS_MAX);
        if (!err)
            check_targets(&targets, array);
    }
    dm_targets_dispose(&targets);
}

static void check(struct dm_loop *loop, struct dm_slice object)
{
    h2o_req_t req = {0};
    struct dm_request request = {.h2o = &req, .loop = loop, .body = object};
    h2o_mem_init_pool(&req.pool);
    check_text(&request, "userId");
    check_text(&request, "type");
    check_text(&request, "id");
    check_text(&request, "reason");
    check_number(object, "timeoutMs", DM_TIMEOUT_MS_MAX);
    check_number(object, "ts", 253402300799999.0);
    check_type(&request);
    read_targets(&request);
    h2o_mem_clear_pool(&req.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dm_loop *loop;
    if (!loop)
        loop = make_loop();
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    if (dm_json_valid(text) && dm_json_kind(dm_json_value(text)) == DM_JSON_OBJECT)
        check(loop, dm_json_value(text));
    free(copy);
    return 0;
}
