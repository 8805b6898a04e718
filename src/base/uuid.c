/* UUIDv7 minting, printing and parsing. */
#include "base/uuid.h"

enum { COUNTER_BITS = 26, COUNTER_MAX = (1 << COUNTER_BITS) - 1, TAIL_BYTES = 6 };

void dm_uuid_minter_init(struct dm_uuid_minter *minter, const struct dm_rand *rand)
{
    *minter = (struct dm_uuid_minter){.rand = rand};
}

static void draw(struct dm_uuid_minter *minter, void *out, uint32_t len)
{
    if (minter->pool_left < len) {
        minter->rand->fill(minter->rand->self, minter->pool, sizeof minter->pool);
        minter->pool_left = sizeof minter->pool;
    }
    minter->pool_left -= len;
    memcpy(out, minter->pool + minter->pool_left, len);
    memset(minter->pool + minter->pool_left, 0, len);
}

/* A new millisecond starts the counter at random in its lower half, so that
 * there is room to count; the same one, or a clock that went back, counts on. */
static void advance(struct dm_uuid_minter *minter, uint64_t wall_ms)
{
    if (wall_ms <= minter->last_ms && minter->counter < COUNTER_MAX) {
        minter->counter++;
        return;
    }
    minter->last_ms = wall_ms > minter->last_ms ? wall_ms : minter->last_ms + 1;
    draw(minter, &minter->counter, sizeof minter->counter);
    minter->counter &= COUNTER_MAX >> 1;
}

struct dm_uuid dm_uuid_mint(struct dm_uuid_minter *minter, uint64_t wall_ms)
{
    advance(minter, wall_ms);
    struct dm_uuid id;
    uint64_t ms = minter->last_ms;
    for (int i = 5; i >= 0; i--, ms >>= 8)
        id.bytes[i] = (uint8_t)ms;
    uint32_t count = minter->counter;
    id.bytes[6] = (uint8_t)(0x70 | (count >> 22));
    id.bytes[7] = (uint8_t)(count >> 14);
    id.bytes[8] = (uint8_t)(0x80 | ((count >> 8) & 0x3f));
    id.bytes[9] = (uint8_t)count;
    draw(minter, id.bytes + 16 - TAIL_BYTES, TAIL_BYTES);
    return id;
}

uint64_t dm_uuid_ms(const struct dm_uuid *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id->bytes[i];
    return ms;
}

static bool dash_follows(int byte)
{
    return byte == 3 || byte == 5 || byte == 7 || byte == 9;
}

void dm_uuid_format(const struct dm_uuid *id, char out[DM_UUID_TEXT_LEN])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        *out++ = hex[id->bytes[i] >> 4];
        *out++ = hex[id->bytes[i] & 15];
        if (dash_follows(i))
            *out++ = '-';
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dm_uuid_parse(struct dm_slice text, struct dm_uuid *out)
{
    if (text.len != DM_UUID_TEXT_LEN)
        return false;
    const char *at = text.at;
    for (int i = 0; i < 16; i++) {
        int high = hex_value(at[0]), low = hex_value(at[1]);
        if (high < 0 || low < 0)
            return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
        if (dash_follows(i) && *at++ != '-')
            return false;
    }
    return true;
}
