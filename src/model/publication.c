/* The fields of a publish, each with what is wrong with it. */
#include "model/publication.h"

#include "base/err.h"
#include "codec/json.h"
#include "model/limits.h"
#include "model/member.h"
#include "model/name.h"

static int wrong(struct dm_slice *why, const char *what)
{
    *why = dm_slice_of(what);
    return DM_ERR_INVALID_FIELD;
}

static bool is_reserved(struct dm_slice type)
{
    static const struct dm_slice reserved[] = {
        DM_SLICE_INIT("presence.join"), DM_SLICE_INIT("presence.leave"),
        DM_SLICE_INIT("presence:join"), DM_SLICE_INIT("presence:leave"),
        DM_SLICE_INIT("whisper"),
    };
    for (size_t i = 0; i < DM_COUNT(reserved); i++)
        if (dm_slice_eq(type, reserved[i]))
            return true;
    return dm_slice_starts(type, DM_SLICE("$")) || dm_slice_starts(type, DM_SLICE("__"));
}

int dm_type_check(struct dm_slice type, struct dm_slice *why)
{
    if (is_reserved(type))
        return wrong(why, "That type is the server's own");
    return type.len > DM_TYPE_MAX ? wrong(why, "type is too long") : DM_OK;
}

static int read_one(struct dm_targets *targets, struct dm_slice object, struct dm_slice *why)
{
    struct dm_buf scratch = DM_BUF_INIT;
    struct dm_slice one = dm_member_text(object, "userId", &scratch);
    int err = DM_OK;
    if (!one.len) {
        err = DM_ERR_NO_TARGET;
    } else if (!dm_targets_add(targets, one)) {
        *why = DM_SLICE("userId is not a valid name");
        err = DM_ERR_INVALID_NAME;
    }
    dm_buf_dispose(&scratch);
    return err;
}

static int read_many(struct dm_targets *targets, struct dm_slice many, uint32_t most,
                     struct dm_slice *why)
{
    int err = dm_targets_read(targets, many, most, why);
    if (!err && targets->invalid) {
        *why = DM_SLICE("userIds holds something that is not a valid name");
        return DM_ERR_INVALID_NAME;
    }
    return err;
}

static int read_channel(struct dm_publication *publication, struct dm_slice object)
{
    struct dm_slice name = dm_member_text(object, "channel", &publication->channel_text);
    if (!dm_name_valid(name))
        return DM_ERR_INVALID_CHANNEL;
    publication->channel = name;
    return DM_OK;
}

static int read_targets(struct dm_publication *publication, struct dm_slice object, uint32_t most,
                        struct dm_slice *why)
{
    struct dm_slice many = dm_member(object, "userIds");
    bool channel = dm_member_is(object, "channel");
    if ((many.at != NULL) + channel + dm_member_is(object, "userId") > 1)
        return wrong(why, "Give one of userId, userIds and channel");
    if (channel)
        return read_channel(publication, object);
    return many.at ? read_many(&publication->targets, many, most, why)
                   : read_one(&publication->targets, object, why);
}

static int read_type(struct dm_publication *publication, struct dm_slice object,
                     struct dm_slice *why)
{
    struct dm_slice type = dm_member_text(object, "type", &publication->text);
    publication->type = type.len ? type : DM_SLICE("message");
    return dm_type_check(publication->type, why);
}

static int read_id(struct dm_publication *publication, struct dm_slice object, struct dm_slice *why)
{
    struct dm_buf scratch = DM_BUF_INIT;
    struct dm_slice id = dm_member_text(object, "envelopeId", &scratch);
    publication->named = dm_member_is(object, "envelopeId");
    bool good = !publication->named || dm_uuid_parse(id, &publication->id);
    dm_buf_dispose(&scratch);
    return good ? DM_OK : wrong(why, "envelopeId must be a UUID");
}

static int read_durability(struct dm_publication *publication, struct dm_slice object,
                           struct dm_slice *why)
{
    struct dm_slice durable = dm_member(object, "durable");
    uint64_t seconds;
    publication->durable = dm_slice_eq(durable, DM_SLICE("true"));
    if (durable.at && !publication->durable && !dm_slice_eq(durable, DM_SLICE("false")))
        return wrong(why, "durable must be true or false");
    if (!dm_member_number(object, "ttlSeconds", DM_TTL_SECONDS_MAX, DM_TTL_SECONDS_DEFAULT,
                          &seconds) ||
        seconds == 0)
        return wrong(why, "ttlSeconds must be a number from 1 to 2592000");
    publication->ttl_ms = 1000 * seconds;
    return DM_OK;
}

int dm_publication_read(struct dm_publication *publication, struct dm_slice object,
                        uint32_t max_targets, struct dm_slice *why)
{
    uint64_t timeout_ms = 0;
    int err = read_targets(publication, object, max_targets, why);
    if (!err)
        err = read_type(publication, object, why);
    if (!err && !dm_member_number(object, "timeoutMs", DM_TIMEOUT_MS_MAX, DM_TIMEOUT_MS_DEFAULT,
                                  &timeout_ms))
        err = wrong(why, "timeoutMs must be a number from 0 to 60000");
    if (!err)
        err = read_id(publication, object, why);
    if (!err)
        err = read_durability(publication, object, why);
    publication->timeout_ms = (uint32_t)timeout_ms;
    publication->payload = dm_json_get(object, DM_SLICE("payload"));
    return err;
}

static void add_sized(struct dm_buf *out, struct dm_slice text)
{
    dm_buf_add_number(out, text.len);
    dm_buf_add_byte(out, ':');
    dm_buf_add_slice(out, text);
}

void dm_publication_hash(const struct dm_publication *publication, unsigned char out[DM_SHA256_LEN])
{
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_printf(&text, "%u %d %llu %d ", publication->timeout_ms, publication->durable,
                  publication->durable ? (unsigned long long)publication->ttl_ms : 0,
                  publication->payload.at != NULL);
    add_sized(&text, publication->type);
    add_sized(&text, publication->payload);
    for (uint32_t i = 0; i < publication->targets.count; i++)
        add_sized(&text, publication->targets.ids[i]);
    if (publication->channel.at) {
        dm_buf_add_byte(&text, '#'); /* no userId begins so: its length comes first */
        add_sized(&text, publication->channel);
    }
    dm_sha256(dm_buf_slice(&text), out);
    dm_buf_dispose(&text);
}

void dm_publication_dispose(struct dm_publication *publication)
{
    dm_targets_dispose(&publication->targets);
    dm_buf_dispose(&publication->text);
    dm_buf_dispose(&publication->channel_text);
    *publication = (struct dm_publication){0};
}
