/* UUIDv7: version and variant bits, the time in it, strict growth, text. */
#include "lib/unit.h"

#include "base/uuid.h"
#include "lib/bytes.h"

static void fill_ones(void *self, void *out, size_t len)
{
    (void)self;
    memset(out, 0xff, len);
}

static int order(const struct dm_uuid *a, const struct dm_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static void test_bits(void **state)
{
    (void)state;
    struct bytes_dice dice = {5};
    struct dm_rand rand = {&dice, bytes_fill};
    struct dm_uuid_minter minter;
    dm_uuid_minter_init(&minter, &rand);
    for (uint64_t ms = 1700000000000; ms < 1700000002000; ms++) {
        struct dm_uuid id = dm_uuid_mint(&minter, ms);
        assert_int_equal(id.bytes[6] >> 4, 7);
        assert_int_equal(id.bytes[8] >> 6, 2);
        assert_true(dm_uuid_ms(&id) == ms);
    }
}

/* Strictly growing whatever the clock does: standing, going back, leaping. */
static void test_growth(void **state)
{
    (void)state;
    struct bytes_dice dice = {6};
    struct dm_rand rand = {&dice, bytes_fill};
    struct dm_uuid_minter minter;
    struct dm_uuid last = {{0}};
    uint64_t now = 1700000000000, newest = now;
    dm_uuid_minter_init(&minter, &rand);
    for (int i = 0; i < 200000; i++) {
        uint32_t leap = bytes_below(&dice, 100);
        now = leap == 0 ? now - bytes_below(&dice, 5000) : leap < 5 ? now + leap * 7 : now;
        newest = now > newest ? now : newest;
        struct dm_uuid id = dm_uuid_mint(&minter, now);
        assert_true(order(&id, &last) > 0);
        assert_true(dm_uuid_ms(&id) == newest);
        last = id;
    }
}

/* When the counter is used up the time in the id goes on by one. */
static void test_counter_runs_out(void **state)
{
    (void)state;
    struct dm_rand rand = {NULL, fill_ones};
    struct dm_uuid_minter minter;
    dm_uuid_minter_init(&minter, &rand);
    struct dm_uuid last = dm_uuid_mint(&minter, 1000), id;
    minter.counter = (1u << 26) - 3;
    for (int i = 0; i < 2; i++) {
        id = dm_uuid_mint(&minter, 1000);
        assert_true(order(&id, &last) > 0);
        assert_true(dm_uuid_ms(&id) == 1000);
        last = id;
    }
    id = dm_uuid_mint(&minter, 1000);
    assert_true(order(&id, &last) > 0);
    assert_true(dm_uuid_ms(&id) == 1001);
    assert_int_equal(id.bytes[6] >> 4, 7);
    assert_int_equal(id.bytes[8] >> 6, 2);
}

/* The random tail is drawn anew for each id, and no random byte twice. */
static void test_tail(void **state)
{
    (void)state;
    struct dm_uuid_minter minter;
    struct dm_uuid ids[500];
    dm_uuid_minter_init(&minter, &dm_rand_system);
    for (size_t i = 0; i < DM_COUNT(ids); i++)
        ids[i] = dm_uuid_mint(&minter, 42);
    for (size_t i = 0; i < DM_COUNT(ids); i++)
        for (size_t k = 0; k < i; k++)
            assert_true(memcmp(ids[i].bytes + 10, ids[k].bytes + 10, 6) != 0);
}

static void test_text(void **state)
{
    (void)state;
    char text[DM_UUID_TEXT_LEN + 1] = {0};
    struct dm_uuid id, back;
    assert_true(dm_uuid_parse(DM_SLICE("017F22E2-79b0-7cc3-98C4-dc0c0c07398f"), &id));
    dm_uuid_format(&id, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_true(dm_uuid_ms(&id) == 0x017f22e279b0); /* RFC 9562, appendix A.6 */
    assert_true(dm_uuid_parse(dm_slice_of(text), &back));
    assert_true(dm_uuid_eq(&id, &back));
    back.bytes[15] ^= 1;
    assert_false(dm_uuid_eq(&id, &back));
}

static void test_no_text(void **state)
{
    (void)state;
    static const char good[] = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    struct dm_uuid id;
    assert_false(dm_uuid_parse(DM_NO_SLICE, &id));
    assert_false(dm_uuid_parse(DM_SLICE("017f22e279b07cc398c4dc0c0c07398f"), &id));
    assert_false(dm_uuid_parse(DM_SLICE("{17f22e2-79b0-7cc3-98c4-dc0c0c07398}"), &id));
    for (size_t len = 0; len < sizeof good - 1; len++)
        assert_false(dm_uuid_parse(dm_slice(good, len), &id));
    for (size_t at = 0; at < sizeof good - 1; at++) {
        static const char wrong[] = "g-/:@G` \0\xff";
        for (size_t i = 0; i < sizeof wrong - 1; i++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            if (text[at] == wrong[i])
                continue;
            text[at] = wrong[i];
            assert_false(dm_uuid_parse(dm_slice(text, sizeof good - 1), &id));
        }
    }
}

DM_UNIT_MAIN(cmocka_unit_test(test_bits), cmocka_unit_test(test_growth),
             cmocka_unit_test(test_counter_runs_out), cmocka_unit_test(test_tail),
             cmocka_unit_test(test_text), cmocka_unit_test(test_no_text))
