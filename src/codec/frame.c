/* WebSocket frames: headers read and written, payloads masked. */
#include "codec/frame.h"

#include <string.h>

static bool opcode_known(uint8_t opcode)
{
    return opcode <= DM_OP_BINARY || (opcode >= DM_OP_CLOSE && opcode <= DM_OP_PONG);
}

static bool first_byte_valid(uint8_t byte)
{
    uint8_t opcode = byte & 0x0f;
    bool fin = byte & 0x80, reserved = byte & 0x70;
    return !reserved && opcode_known(opcode) && (fin || !dm_opcode_is_control(opcode));
}

/* Does what there is of an extended length show that the whole of it is invalid? */
static bool length_invalid(const uint8_t *at, size_t have, size_t need)
{
    static const uint8_t zeros[6];
    if (need == 2)
        return have >= 2 && at[0] == 0 && at[1] < 126;
    if (have >= 1 && (at[0] & 0x80))
        return true;
    return have >= 6 && memcmp(at, zeros, 6) == 0;
}

static uint64_t read_number(const uint8_t *at, size_t len)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | at[i];
    return number;
}

enum dm_frame_state dm_frame_read_head(const char *bytes, size_t len, bool from_client,
                                       struct dm_frame_head *head)
{
    const uint8_t *at = (const uint8_t *)bytes;
    *head = (struct dm_frame_head){0};
    if (len >= 1 && !first_byte_valid(at[0]))
        return DM_FRAME_INVALID;
    if (len < 2)
        return DM_FRAME_PARTIAL;
    uint8_t opcode = at[0] & 0x0f, short_length = at[1] & 0x7f;
    bool masked = at[1] & 0x80;
    if (masked != from_client ||
        (dm_opcode_is_control(opcode) && short_length > DM_FRAME_MAX_CONTROL))
        return DM_FRAME_INVALID;
    size_t extended = short_length < 126 ? 0 : short_length == 126 ? 2 : 8;
    if (extended && length_invalid(at + 2, len - 2, extended))
        return DM_FRAME_INVALID;
    size_t size = 2 + extended + (masked ? 4 : 0);
    if (len < size)
        return DM_FRAME_PARTIAL;
    head->opcode = opcode;
    head->fin = at[0] & 0x80;
    head->masked = masked;
    head->size = (uint8_t)size;
    head->payload = extended ? read_number(at + 2, extended) : short_length;
    if (masked)
        memcpy(head->mask, at + size - 4, 4);
    return DM_FRAME_WHOLE;
}

enum dm_frame_state dm_frame_read(char *bytes, size_t len, bool from_client,
                                  struct dm_frame_head *head)
{
    enum dm_frame_state state = dm_frame_read_head(bytes, len, from_client, head);
    if (state != DM_FRAME_WHOLE)
        return state;
    if (len - head->size < head->payload)
        return DM_FRAME_PARTIAL;
    if (head->masked && head->payload)
        dm_frame_mask(bytes + head->size, (size_t)head->payload, head->mask, 0);
    return DM_FRAME_WHOLE;
}

void dm_frame_mask(char *bytes, size_t len, const uint8_t mask[4], size_t offset)
{
    uint8_t turned[8];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(offset + i) & 3];
    uint64_t wide;
    memcpy(&wide, turned, sizeof wide);
    size_t i = 0;
    for (; len - i >= sizeof wide; i += sizeof wide) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < len; i++)
        bytes[i] = (char)(bytes[i] ^ turned[i & 7]);
}

size_t dm_frame_write_head(char out[10], enum dm_opcode opcode, uint64_t payload)
{
    size_t extended = payload < 126 ? 0 : payload <= UINT16_MAX ? 2 : 8;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(extended == 0 ? payload : extended == 2 ? 126u : 127u);
    for (size_t i = extended; i > 0; i--, payload >>= 8)
        out[1 + i] = (char)payload;
    return 2 + extended;
}

/* 1004 to 1006 and 1015 are never sent; 1012 to 1014 are IANA's later additions. */
bool dm_close_code_valid(unsigned code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}
