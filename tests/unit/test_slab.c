/* Slabs: records keep their place and their bytes; given ones come back zeroed. */
#include "lib/unit.h"

#include "base/slab.h"
#include "lib/bytes.h"

enum { MANY = 20000 };

static void test_indices(void **state)
{
    (void)state;
    struct dm_slab slab;
    dm_slab_init(&slab, 32);
    assert_int_equal(dm_slab_end(&slab), 1);
    void *first = NULL;
    for (uint32_t i = 1; i <= MANY; i++) {
        assert_int_equal(dm_slab_take(&slab), i);
        if (i == 1)
            first = dm_slab_at(&slab, 1);
    }
    assert_ptr_equal(dm_slab_at(&slab, 1), first); /* it has not moved */
    assert_int_equal(dm_slab_end(&slab), MANY + 1);
    assert_int_equal(slab.live, MANY);
    dm_slab_give(&slab, 7);
    dm_slab_give(&slab, 9);
    assert_int_equal(dm_slab_take(&slab), 9);
    assert_int_equal(dm_slab_take(&slab), 7);
    assert_int_equal(dm_slab_take(&slab), MANY + 1);
    dm_slab_dispose(&slab);
}

/* Chunks that are all free go back, all but one; that one too when trimmed. */
static void test_chunks_go_back(void **state)
{
    (void)state;
    struct dm_slab slab;
    uint32_t held[MANY];
    dm_slab_init(&slab, 64);
    for (int i = 0; i < MANY; i++)
        held[i] = dm_slab_take(&slab);
    for (int i = 0; i < MANY; i++)
        dm_slab_give(&slab, held[i]);
    uint32_t with_memory = 0;
    for (uint32_t i = 0; i < slab.chunk_count; i++)
        with_memory += slab.chunks[i].records != NULL;
    assert_int_equal(with_memory, 1);
    dm_slab_trim(&slab);
    for (int i = 0; i < MANY; i++)
        assert_null(dm_slab_peek(&slab, held[i]));
    uint32_t again = dm_slab_take(&slab);
    assert_true(again >= 1 && again < MANY + 1);
    assert_non_null(dm_slab_at(&slab, again));
    assert_int_equal(slab.live, 1);
    dm_slab_dispose(&slab);
}

/* Random takes and gives with each record full of its own pattern: no two share a byte. */
static void churn(size_t record_size)
{
    struct dm_slab slab;
    struct bytes_dice dice = {record_size};
    uint32_t held[500] = {0};
    unsigned char zeros[5000] = {0}, pattern[5000];
    dm_slab_init(&slab, record_size);
    for (int round = 0; round < 20000; round++) {
        uint32_t place = bytes_below(&dice, DM_COUNT(held));
        memset(pattern, (int)(place % 251 + 1), record_size);
        if (held[place]) {
            assert_memory_equal(dm_slab_at(&slab, held[place]), pattern, record_size);
            dm_slab_give(&slab, held[place]);
            held[place] = 0;
        } else {
            held[place] = dm_slab_take(&slab);
            assert_memory_equal(dm_slab_at(&slab, held[place]), zeros, record_size);
            memcpy(dm_slab_at(&slab, held[place]), pattern, record_size);
        }
    }
    uint32_t live = 0;
    for (size_t i = 0; i < DM_COUNT(held); i++)
        live += held[i] != 0;
    assert_int_equal(slab.live, live);
    assert_true(dm_slab_end(&slab) <= 2 * (DM_COUNT(held) + 65536 / record_size) + 1);
    dm_slab_dispose(&slab);
}

static void test_churn(void **state)
{
    (void)state;
    static const size_t sizes[] = {4, 12, 32, 36, 100, 5000};
    for (size_t i = 0; i < DM_COUNT(sizes); i++)
        churn(sizes[i]);
}

DM_UNIT_MAIN(cmocka_unit_test(test_indices), cmocka_unit_test(test_chunks_go_back),
             cmocka_unit_test(test_churn))
