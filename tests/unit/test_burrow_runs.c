/* Runs: equal ones are one, joined once, in segments of bounded size. */
#include "lib/unit.h"

#include <string.h>

#include "base/check.h"
#include "net/runs.h"

static void equal_runs_are_one(void **state)
{
    (void)state;
    struct dm_runs runs;
    struct dm_wire *wires[6];
    uint32_t first[6], second[6];
    dm_runs_init(&runs);
    for (int i = 0; i < 6; i++)
        wires[i] = dm_wire_create(DM_OP_TEXT, DM_SLICE("x"));
    /* Six kinds of sockets in turn, as dialects and encodings are. */
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 6; i++) {
            uint32_t run = dm_runs_add(&runs, dm_runs_add(&runs, 0, wires[i]), wires[0]);
            assert_int_equal(dm_run_frames(&runs, run), 2);
            if (round == 0)
                first[i] = run;
            second[i] = run;
        }
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(first[i], second[i]);
        for (int other = 0; other < i; other++)
            assert_int_not_equal(first[i], first[other]);
    }
    assert_int_equal(wires[1]->refs, 2);
    dm_runs_clear(&runs);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(wires[i]->refs, 1);
        dm_wire_release(wires[i]);
    }
    dm_runs_dispose(&runs);
}

static void a_run_is_joined_once_and_let_go_by_its_last_user(void **state)
{
    (void)state;
    struct dm_runs runs;
    struct dm_wire *a = dm_wire_create(DM_OP_TEXT, DM_SLICE("a"));
    struct dm_wire *b = dm_wire_create(DM_OP_TEXT, DM_SLICE("bb"));
    dm_runs_init(&runs);
    uint32_t one = dm_runs_add(&runs, 0, a), both = dm_runs_add(&runs, one, b);
    assert_ptr_equal(dm_run_bytes(&runs, one), a);
    dm_run_count_user(&runs, both);
    dm_run_count_user(&runs, both);
    struct dm_wire *joined = dm_run_bytes(&runs, both);
    assert_int_equal(joined->len, 7);
    assert_memory_equal(joined->bytes,
                        "\x81\x01"
                        "a\x81\x02"
                        "bb",
                        7);
    dm_run_done(&runs, both);
    assert_ptr_equal(dm_run_bytes(&runs, both), joined);
    dm_wire_retain(joined);
    dm_run_done(&runs, both);
    assert_int_equal(joined->refs, 1);
    dm_wire_release(joined);
    dm_wire_release(a);
    dm_wire_release(b);
    dm_runs_dispose(&runs);
}

static void a_long_run_goes_on_in_another_segment(void **state)
{
    (void)state;
    static char text[30000];
    struct dm_runs runs;
    struct dm_wire *wire = dm_wire_create(DM_OP_BINARY, dm_slice(text, sizeof text));
    uint32_t run = 0, again = 0, frames = 0, segments = 0;
    dm_runs_init(&runs);
    for (int i = 0; i < 7; i++)
        run = dm_runs_add(&runs, run, wire);
    for (int i = 0; i < 7; i++)
        again = dm_runs_add(&runs, again, wire);
    assert_int_equal(run, again);
    for (; run; run = dm_run_before(&runs, run), segments++) {
        dm_run_count_user(&runs, run);
        assert_true(dm_run_bytes(&runs, run)->len <= DM_RUN_BYTES);
        frames += dm_run_frames(&runs, run);
        dm_run_done(&runs, run);
    }
    assert_int_equal(frames, 7);
    assert_int_equal(segments, 4);
    dm_wire_release(wire);
    dm_runs_dispose(&runs);
}

DM_UNIT_MAIN(cmocka_unit_test(equal_runs_are_one),
             cmocka_unit_test(a_run_is_joined_once_and_let_go_by_its_last_user),
             cmocka_unit_test(a_long_run_goes_on_in_another_segment))
