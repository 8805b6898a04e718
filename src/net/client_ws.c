/* The client's side of an open WebSocket (RFC 6455): masked frames out, messages in. */
#include "base/clock.h"
#include "base/rand.h"
#include "codec/utf8.h"
#include "net/client_io.h"

enum { NO_CODE = 1005, CLOSE_WAIT_MS = 2000 };

/* What one frame comes to. */
enum step { STEP_ON, STEP_MESSAGE, STEP_CLOSED, STEP_BROKEN };

bool dm_client_send(struct dm_client *client, enum dm_opcode opcode, struct dm_slice payload,
                    struct dm_buf *why)
{
    uint8_t mask[4];
    dm_buf_clear(&client->out);
    char *head = dm_buf_reserve(&client->out, DM_FRAME_MAX_HEAD);
    size_t size = dm_frame_write_head(head, opcode, payload.len);
    head[1] = (char)(head[1] | 0x80); /* masked */
    client->out.len = size;
    dm_rand_kernel(mask, sizeof mask);
    dm_buf_add(&client->out, mask, sizeof mask);
    dm_buf_add_slice(&client->out, payload);
    if (payload.len)
        dm_frame_mask(client->out.bytes + size + sizeof mask, payload.len, mask, 0);
    return dm_client_flush(client, why);
}

/* Sends a Close frame, the only one; says whether it went. */
static bool send_close(struct dm_client *client, unsigned code)
{
    if (client->closing)
        return false;
    client->closing = true;
    struct dm_buf ignored = DM_BUF_INIT; /* the line may be gone, and is of no more use */
    const char bytes[2] = {(char)(code >> 8), (char)(code & 0xff)};
    bool sent =
        dm_client_send(client, DM_OP_CLOSE, dm_slice(bytes, code == NO_CODE ? 0 : 2), &ignored);
    dm_buf_dispose(&ignored);
    return sent;
}

static enum step broken(struct dm_client *client, unsigned code, struct dm_buf *why)
{
    dm_buf_printf(why, "the server broke the protocol (%u)", code);
    send_close(client, code);
    return STEP_BROKEN;
}

static enum step take_close(struct dm_client *client, struct dm_slice payload,
                            struct dm_client_frame *frame, struct dm_buf *why)
{
    *frame = (struct dm_client_frame){.code = NO_CODE};
    if (payload.len >= 2) {
        frame->code = (unsigned)(uint8_t)payload.at[0] << 8 | (uint8_t)payload.at[1];
        frame->text = dm_slice_from(payload, 2);
    }
    bool bad = payload.len == 1 || !dm_utf8_valid(frame->text) ||
               (payload.len >= 2 && !dm_close_code_valid(frame->code));
    if (bad)
        return broken(client, 1002, why);
    send_close(client, frame->code);
    return STEP_CLOSED;
}

static enum step take_control(struct dm_client *client, uint8_t opcode, struct dm_slice payload,
                              struct dm_client_frame *frame, struct dm_buf *why)
{
    if (opcode == DM_OP_CLOSE)
        return take_close(client, payload, frame, why);
    if (opcode == DM_OP_PING && !dm_client_send(client, DM_OP_PONG, payload, why))
        return STEP_BROKEN;
    return STEP_ON;
}

static enum step finish(struct dm_client *client, enum dm_opcode opcode, struct dm_slice text,
                        struct dm_client_frame *frame, struct dm_buf *why)
{
    if (opcode == DM_OP_TEXT && !dm_utf8_valid(text))
        return broken(client, 1007, why);
    *frame = (struct dm_client_frame){.text = text};
    return STEP_MESSAGE;
}

static enum step take_data(struct dm_client *client, const struct dm_frame_head *head,
                           struct dm_slice payload, struct dm_client_frame *frame,
                           struct dm_buf *why)
{
    bool first = head->opcode != DM_OP_CONTINUATION;
    if (first == (client->fragmented != DM_OP_CONTINUATION))
        return broken(client, 1002, why);
    if (first && head->fin)
        return finish(client, head->opcode, payload, frame, why);
    if (first) {
        dm_buf_clear(&client->gathered);
        client->fragmented = head->opcode;
    }
    if (client->gathered.len + payload.len > DM_CLIENT_MAX)
        return broken(client, 1009, why);
    dm_buf_add_slice(&client->gathered, payload);
    if (!head->fin)
        return STEP_ON;
    enum dm_opcode opcode = client->fragmented;
    client->fragmented = DM_OP_CONTINUATION;
    return finish(client, opcode, dm_buf_slice(&client->gathered), frame, why);
}

/* Handles the frame at the front of `in`; `whole` says whether there was one. */
static enum step take_frame(struct dm_client *client, bool *whole, struct dm_client_frame *frame,
                            struct dm_buf *why)
{
    struct dm_frame_head head;
    struct dm_slice bytes = dm_client_unread(client);
    enum dm_frame_state state = dm_frame_read_head(bytes.at, bytes.len, false, &head);
    *whole = false;
    if (state == DM_FRAME_INVALID)
        return broken(client, 1002, why);
    if (state == DM_FRAME_WHOLE && head.payload > DM_CLIENT_MAX)
        return broken(client, 1009, why);
    if (state == DM_FRAME_PARTIAL || bytes.len - head.size < head.payload)
        return STEP_ON;
    struct dm_slice payload = dm_slice(bytes.at + head.size, head.payload);
    *whole = true;
    client->at += head.size + payload.len;
    if (dm_opcode_is_control(head.opcode))
        return take_control(client, head.opcode, payload, frame, why);
    return take_data(client, &head, payload, frame, why);
}

enum dm_client_event dm_client_next(struct dm_client *client, uint32_t wait_ms,
                                    struct dm_client_frame *frame, struct dm_buf *why)
{
    uint64_t deadline = dm_clock_mono_ms() + wait_ms;
    for (;;) {
        bool whole;
        enum step step = take_frame(client, &whole, frame, why);
        if (step == STEP_MESSAGE)
            return DM_CLIENT_MESSAGE;
        if (step == STEP_CLOSED)
            return DM_CLIENT_CLOSED;
        if (step == STEP_BROKEN)
            return DM_CLIENT_FAILED;
        if (whole)
            continue;
        enum dm_client_read got = dm_client_fill(client, deadline, why);
        if (got == DM_CLIENT_READ_LATE)
            return DM_CLIENT_QUIET;
        if (got == DM_CLIENT_READ_END)
            return DM_CLIENT_FAILED;
    }
}

void dm_client_close(struct dm_client *client)
{
    struct dm_client_frame frame;
    struct dm_buf ignored = DM_BUF_INIT;
    uint64_t deadline = dm_clock_mono_ms() + CLOSE_WAIT_MS;
    bool open = send_close(client, 1000);
    while (open && dm_clock_mono_ms() < deadline)
        open = dm_client_next(client, CLOSE_WAIT_MS, &frame, &ignored) == DM_CLIENT_MESSAGE;
    dm_buf_dispose(&ignored);
}
