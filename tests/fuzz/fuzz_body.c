/*
 * The body of a publish or a send, read as model/ reads it: members, numbers,
 * types and targets are what a naive reading says, or are refused with words.
 * Inputs come in exact heap blocks.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "model/limits.h"
#include "model/member.h"
#include "model/name.h"
#include "model/publication.h"

enum { TARGETS_MAX = 20 };

static void decode_trimmed(struct dm_slice string, struct dm_buf *out)
{
    struct dm_buf text = DM_BUF_INIT;
    dm_json_decode(&text, string);
    dm_buf_add_slice(out, dm_utf8_trim(dm_buf_slice(&text)));
    dm_buf_dispose(&text);
}

static void check_text(struct dm_slice object, const char *name)
{
    struct dm_slice raw = dm_json_get(object, dm_slice_of(name));
    struct dm_buf scratch = DM_BUF_INIT, naive = DM_BUF_INIT;
    struct dm_slice text = dm_member_text(object, name, &scratch);
    DM_CHECK((text.at != NULL) == (dm_json_kind(raw) == DM_JSON_STRING));
    DM_CHECK(dm_member_is(object, name) == (raw.at && dm_json_kind(raw) != DM_JSON_NULL));
    if (text.at) {
        decode_trimmed(raw, &naive);
        DM_CHECK(dm_slice_eq(text, dm_buf_slice(&naive)));
        DM_CHECK(dm_utf8_trim(text).len == text.len);
    }
    dm_buf_dispose(&naive);
    dm_buf_dispose(&scratch);
}

static void check_number(struct dm_slice object, const char *name, double most)
{
    struct dm_slice raw = dm_json_get(object, dm_slice_of(name));
    enum dm_json_kind kind = dm_json_kind(raw);
    uint64_t got = UINT64_MAX;
    bool taken = dm_member_number(object, name, most, 7, &got);
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

static void read_targets(struct dm_slice object)
{
    struct dm_targets targets = {0};
    struct dm_slice array = dm_member(object, "userIds"), why = DM_NO_SLICE;
    if (array.at) {
        int err = dm_targets_read(&targets, array, TARGETS_MAX, &why);
        DM_CHECK(err == DM_OK || err == DM_ERR_TOO_MANY_TARGETS ||
                 (err == DM_ERR_INVALID_FIELD && why.len));
        DM_CHECK(targets.asked <= TARGETS_MAX);
        if (!err)
            check_targets(&targets, array);
    }
    dm_targets_dispose(&targets);
}

static void check_publication(const struct dm_publication *publication)
{
    struct dm_slice type = publication->type;
    unsigned char hash[DM_SHA256_LEN], again[DM_SHA256_LEN];
    DM_CHECK((publication->targets.count >= 1) != (publication->channel.at != NULL));
    DM_CHECK(publication->targets.invalid == 0);
    DM_CHECK(!publication->channel.at || dm_name_valid(publication->channel));
    DM_CHECK(type.len >= 1 && type.len <= DM_TYPE_MAX);
    DM_CHECK(!dm_slice_starts(type, DM_SLICE("$")) && !dm_slice_starts(type, DM_SLICE("__")));
    DM_CHECK(!dm_slice_eq(type, DM_SLICE("whisper")));
    DM_CHECK(!dm_slice_eq(type, DM_SLICE("presence.join")));
    DM_CHECK(!dm_slice_eq(type, DM_SLICE("presence:leave")));
    DM_CHECK(publication->timeout_ms <= DM_TIMEOUT_MS_MAX);
    DM_CHECK(publication->ttl_ms >= 1000 && publication->ttl_ms <= 1000ull * DM_TTL_SECONDS_MAX);
    DM_CHECK(!publication->payload.at || dm_json_valid(publication->payload));
    dm_publication_hash(publication, hash);
    dm_publication_hash(publication, again);
    DM_CHECK(memcmp(hash, again, sizeof hash) == 0);
}

static void read_publication(struct dm_slice object)
{
    struct dm_publication publication = {0};
    struct dm_slice why = DM_NO_SLICE;
    int given = dm_member_is(object, "userId") + dm_member_is(object, "userIds") +
                dm_member_is(object, "channel");
    int err = dm_publication_read(&publication, object, TARGETS_MAX, &why);
    DM_CHECK(err == DM_OK || dm_err_status(err) == 400);
    DM_CHECK(given == 1 || err == (given ? DM_ERR_INVALID_FIELD : DM_ERR_NO_TARGET));
    DM_CHECK(err != DM_ERR_INVALID_FIELD || why.len);
    if (!err)
        check_publication(&publication);
    dm_publication_dispose(&publication);
}

/* The name that a type beside it makes is one, with that prefix and as it was behind it. */
static void read_name(struct dm_slice object)
{
    struct dm_buf text = DM_BUF_INIT, type_text = DM_BUF_INIT, out = DM_BUF_INIT;
    struct dm_slice name = dm_member_text(object, "channel", &text);
    struct dm_slice type = dm_member_text(object, "type", &type_text);
    int err = dm_name_with_type(name, type, &out);
    struct dm_slice made = dm_buf_slice(&out);
    DM_CHECK(err == DM_OK || err == DM_ERR_INVALID_FIELD || err == DM_ERR_INVALID_NAME);
    DM_CHECK(dm_name_valid(made) == (err == DM_OK) && (err == DM_OK || !made.len));
    if (!err) {
        bool prefixed =
            dm_slice_eq(type, DM_SLICE("private")) || dm_slice_eq(type, DM_SLICE("presence"));
        DM_CHECK(!prefixed || (dm_slice_starts(made, type) && made.at[type.len] == '-'));
        DM_CHECK(dm_slice_eq(dm_slice_from(made, made.len - name.len), name));
        DM_CHECK(made.len == name.len || (prefixed && made.len == name.len + type.len + 1));
    }
    dm_buf_dispose(&out);
    dm_buf_dispose(&type_text);
    dm_buf_dispose(&text);
}

static void check(struct dm_slice object)
{
    check_text(object, "userId");
    check_text(object, "channel");
    check_text(object, "type");
    check_text(object, "id");
    check_text(object, "reason");
    check_number(object, "timeoutMs", DM_TIMEOUT_MS_MAX);
    check_number(object, "ts", 253402300799999.0);
    read_targets(object);
    read_publication(object);
    read_name(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    if (dm_json_valid(text) && dm_json_kind(dm_json_value(text)) == DM_JSON_OBJECT)
        check(dm_json_value(text));
    free(copy);
    return 0;
}
