/* The hash index against a naive model, and SipHash against its vectors. */
#include "lib/unit.h"

#include "base/index.h"
#include "lib/bytes.h"

enum { KEYS = 3000 };

/* The record `value` has the key whose text is its number. */
static bool is(const void *context, uint32_t value, struct dm_slice key)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%u", value);
    (void)context;
    return dm_slice_eq(key, dm_slice(text, (size_t)len));
}

/* `spread` bits of hash: few make long runs of equal tags. */
static uint64_t hash_of(struct dm_slice key, unsigned spread)
{
    static const uint64_t seed[2] = {1, 2};
    return dm_hash(seed, key.at, key.len) & ((UINT64_MAX >> (64 - spread)) << 32);
}

static struct dm_slice key_of(uint32_t value, char text[16])
{
    return dm_slice(text, (size_t)snprintf(text, 16, "%u", value));
}

static uint32_t find(const struct dm_index *index, uint32_t value, unsigned spread)
{
    char text[16];
    struct dm_slice key = key_of(value, text);
    return dm_index_find(index, hash_of(key, spread), is, NULL, key);
}

static void against_model(unsigned spread, uint32_t keys, int rounds)
{
    struct dm_index index = {0};
    struct bytes_dice dice = {spread};
    static bool model[KEYS + 1];
    memset(model, 0, sizeof model);
    uint32_t count = 0;
    for (int round = 0; round < rounds; round++) {
        char text[16];
        uint32_t value = 1 + bytes_below(&dice, keys);
        struct dm_slice key = key_of(value, text);
        assert_int_equal(find(&index, value, spread), model[value] ? value : 0);
        if (model[value])
            dm_index_remove(&index, hash_of(key, spread), value);
        else
            dm_index_put(&index, hash_of(key, spread), value);
        model[value] = !model[value];
        count = model[value] ? count + 1 : count - 1;
        assert_int_equal(index.count, count);
        if (round % 5000 == 0)
            for (uint32_t each = 1; each <= keys; each++)
                assert_int_equal(find(&index, each, spread), model[each] ? each : 0);
    }
    dm_index_dispose(&index);
}

static void test_model(void **state)
{
    (void)state;
    against_model(32, KEYS, 100000);
    against_model(10, KEYS, 50000);
    against_model(3, 60, 20000); /* nearly all collide */
    against_model(1, 40, 20000);
}

static void test_empty(void **state)
{
    (void)state;
    struct dm_index index = {0};
    assert_int_equal(find(&index, 1, 32), 0);
    dm_index_dispose(&index);
}

/* SipHash-1-3 of 00 01 02 …, keyed with 00 … 0f: the reference's first vectors. */
static void test_siphash(void **state)
{
    (void)state;
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    static const uint64_t want[] = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d,
                                    0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67,
                                    0xc50d2b50c59f22a7, 0xd3927d989bb11140, 0x369095118d299a8e};
    unsigned char bytes[16];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    for (size_t len = 0; len < DM_COUNT(want); len++)
        assert_true(dm_hash(key, bytes, len) == want[len]);
    assert_true(dm_hash(key, NULL, 0) == want[0]);
}

DM_UNIT_MAIN(cmocka_unit_test(test_model), cmocka_unit_test(test_empty),
             cmocka_unit_test(test_siphash))
