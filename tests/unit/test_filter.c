/* Filters: what is one, what it matches, how a set is kept and bounded. */
#include "lib/unit.h"

#include "base/clock.h"
#include "codec/json.h"
#include "lib/bytes.h"
#include "model/filter.h"
#include "model/limits.h"

static bool add(struct dm_filter_set *set, const char *filters)
{
    return dm_filter_set_add(set, dm_slice_of(filters), 200);
}

static void assert_saved(const struct dm_filter_set *set, const char *text)
{
    struct dm_buf saved = DM_BUF_INIT;
    dm_filter_set_save(set, &saved);
    assert_string_equal(dm_buf_text(&saved), text);
    dm_buf_dispose(&saved);
}

static bool matches(const char *filter, const char *type, struct dm_slice payload)
{
    struct dm_filter_set set = {0};
    struct dm_filter_probe probe;
    const struct dm_envelope_draft draft = {.type = dm_slice_of(type), .payload = payload};
    assert_true(add(&set, filter));
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    dm_filter_probe_init(&probe, envelope);
    bool does = dm_filter_set_matches(&set, &probe);
    assert_int_equal(dm_filter_set_matches(&set, &probe), does);
    dm_filter_probe_dispose(&probe);
    dm_envelope_release(envelope);
    dm_filter_set_dispose(&set);
    return does;
}

#define assert_match(filter, type, payload) assert_true(matches(filter, type, DM_SLICE(payload)))
#define assert_no_match(filter, type, payload)                                                     \
    assert_false(matches(filter, type, DM_SLICE(payload)))

static void test_type_alone(void **state)
{
    (void)state;
    assert_true(matches("{\"type\":\"chat\"}", "chat", DM_NO_SLICE));
    assert_match("{\"type\":\" chat\\u00a0\\n\"}", "chat", "null");
    assert_match("{\"type\":\"ch\\u0061t\"}", "chat", "[1]");
    assert_no_match("{\"type\":\"chat\"}", "Chat", "{}");
    assert_no_match("{\"type\":\"chat\"}", "chatter", "{}");
    assert_no_match("{\"type\":\"chat\"}", "cha", "{}");
    assert_match("{\"type\":\"x\",\"type\":\"chat\"}", "chat", "{}");
}

static void test_fields(void **state)
{
    (void)state;
    const char *room = "{\"room\":\"a\",\"type\":\"chat\"}";
    assert_match(room, "chat", "{\"room\":\"a\"}");
    assert_match(room, "chat", " {\"x\":[{\"room\":\"b\"}],\"room\" : \"\\u0061\"} ");
    assert_match(room, "chat", "{\"room\":1,\"r\\u006fom\":\"a\"}");
    assert_no_match(room, "chat", "{\"room\":\"a\",\"room\":1}");
    assert_no_match(room, "chat", "{\"room\":\"ab\"}");
    assert_no_match(room, "chat", "{\"room\":\"\"}");
    assert_no_match(room, "chat", "{\"Room\":\"a\"}");
    assert_no_match(room, "chat", "{\"deep\":{\"room\":\"a\"}}");
    assert_no_match(room, "chat", "{\"room\":[\"a\"]}");
    assert_no_match(room, "chat", "[\"room\",\"a\"]");
    assert_no_match(room, "chat", "\"a\"");
    assert_no_match(room, "talk", "{\"room\":\"a\"}");
    assert_false(matches(room, "chat", DM_NO_SLICE));
    const char *two = "{\"type\":\"t\",\"b\":\"2\",\"a\":\"1\"}";
    assert_match(two, "t", "{\"a\":\"1\",\"b\":\"2\",\"c\":3}");
    assert_no_match(two, "t", "{\"a\":\"1\"}");
    assert_no_match(two, "t", "{\"a\":\"1\",\"b\":2}");
    assert_no_match(two, "t", "{\"a\":\"2\",\"b\":\"1\"}");
    assert_match("{\"type\":\"t\",\"\":\"\"}", "t", "{\"\":\"\"}");
    assert_no_match("{\"type\":\"t\",\"\":\"\"}", "t", "{\"\":\"\",\"\":0}");
    assert_match("{\"type\":\"t\",\"\":\"\"}", "t", "{\"\":0,\"\":1,\"\":\"\"}");
    assert_match("{\"type\":\"t\",\"k\":\"\\ud800\"}", "t", "{\"k\":\"\\uD800\"}");
    assert_no_match("{\"type\":\"t\",\"k\":\"\\ud800\"}", "t", "{\"k\":\"\\ufffd\"}");
    /* The payload's own `type` is not asked; the values are not trimmed. */
    assert_match("{\"type\":\"t\"}", "t", "{\"type\":\"u\"}");
    assert_no_match("{\"type\":\"t\",\"k\":\" v\"}", "t", "{\"k\":\"v\"}");
}

static void test_no_filters(void **state)
{
    (void)state;
    static const char *const not [] = {"[]",
                                       "{}",
                                       "null",
                                       "\"type\"",
                                       "7",
                                       "[[{\"type\":\"a\"}]]",
                                       "{\"type\":\"\"}",
                                       "[\"type\"]",
                                       "{\"type\":\" \\t\\ufeff\"}",
                                       "{\"type\":1}",
                                       "{\"type\":null}",
                                       "{\"Type\":\"a\"}",
                                       "{\"type\":\"a\",\"k\":1}",
                                       "{\"type\":\"a\",\"k\":null}",
                                       "{\"type\":\"a\",\"k\":{}}",
                                       "{\"type\":\"a\",\"type\":2}",
                                       "{\"k\":\"type\"}"};
    struct dm_filter_set set = {0};
    for (size_t i = 0; i < DM_COUNT(not ); i++)
        if (add(&set, not [i]))
            fail_msg("taken for a filter: %s", not [i]);
    assert_false(dm_filter_set_add(&set, DM_NO_SLICE, 200));
    assert_false(dm_filter_set_remove(&set, DM_NO_SLICE));
    assert_int_equal(set.count, 0);
    /* Of several the last counts, so this is one, and junk beside it does no harm. */
    assert_true(add(&set, "[1,{\"k\":1,\"type\":\"a\",\"k\":\"v\"},{\"type\":3}]"));
    assert_saved(&set, "[{\"k\":\"v\",\"type\":\"a\"}]");
    dm_filter_set_dispose(&set);
}

static void test_equal_once(void **state)
{
    (void)state;
    struct dm_filter_set set = {0};
    assert_true(add(&set, "[{\"type\":\"a\",\"z\":\"1\",\"b\":\"2\"}]"));
    assert_false(add(&set, "[{\"z\":\"\\u0031\",\"b\":\"2\",\"type\":\" a \"}]"));
    assert_true(add(&set, "[{\"type\":\"a\"},{\"type\":\"a\"},{\"type\":\"b\"}]"));
    assert_int_equal(set.count, 3);
    assert_saved(&set,
                 "[{\"b\":\"2\",\"type\":\"a\",\"z\":\"1\"},{\"type\":\"a\"},{\"type\":\"b\"}]");
    assert_false(
        dm_filter_set_remove(&set, DM_SLICE("[{\"type\":\"c\"},{\"type\":\"a\",\"b\":\"2\"}]")));
    assert_true(dm_filter_set_remove(&set, DM_SLICE("[{\"type\":\"a\"}]")));
    assert_saved(&set, "[{\"b\":\"2\",\"type\":\"a\",\"z\":\"1\"},{\"type\":\"b\"}]");
    assert_true(dm_filter_set_remove(
        &set, DM_SLICE("[{\"type\":\"b\"},{\"b\":\"2\",\"z\":\"1\",\"type\":\"a\"}]")));
    assert_int_equal(set.count, 0);
    assert_int_equal(set.packed.len, 0);
    assert_saved(&set, "[]");
    dm_filter_set_dispose(&set);
}

static void many(struct dm_buf *out, int from, int to)
{
    dm_buf_clear(out);
    dm_buf_add_byte(out, '[');
    for (int i = from; i < to; i++)
        dm_buf_printf(out, "%s{\"type\":\"t%d\"}", i > from ? "," : "", i);
    dm_buf_add_byte(out, ']');
}

static void test_bounds(void **state)
{
    (void)state;
    struct dm_filter_set set = {0};
    struct dm_buf text = DM_BUF_INIT;
    many(&text, 0, 70);
    assert_true(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    assert_int_equal(set.count, DM_FILTERS_A_FRAME);
    assert_false(set.full);
    assert_false(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    many(&text, 50, 100);
    assert_true(dm_filter_set_add(&set, dm_buf_slice(&text), 60));
    assert_int_equal(set.count, 60);
    assert_true(set.full);
    assert_false(dm_filter_set_add(&set, dm_buf_slice(&text), 60));
    assert_true(set.full);
    assert_false(dm_filter_set_add(&set, DM_SLICE("[{\"type\":\"t3\"}]"), 60));
    assert_false(set.full);
    dm_buf_clear(&text);
    dm_buf_printf(&text, "{\"type\":\"%040000d\"}", 7);
    assert_true(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    dm_buf_clear(&text);
    dm_buf_printf(&text, "{\"type\":\"%040000d\"}", 8);
    assert_false(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    assert_int_equal(set.count, 61);
    dm_buf_clear(&text);
    dm_buf_printf(&text, "{\"type\":\"a\",\"k\":\"%070000d\"}", 8); /* larger than any set */
    assert_false(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    assert_true(set.packed.len <= DM_FILTER_BYTES_MAX);
    dm_buf_dispose(&text);
    dm_filter_set_dispose(&set);
}

static void test_save_and_load(void **state)
{
    (void)state;
    struct dm_filter_set set = {0}, again = {0};
    struct dm_buf text = DM_BUF_INIT, saved = DM_BUF_INIT;
    for (int i = 0; i < 150; i += 50) {
        many(&text, i, i + 50);
        assert_true(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    }
    assert_true(add(&set, "{\"type\":\"\\\"\\ud83d\\ude00\",\"\\u0000\":\"\\udfff\",\"zz\":\"\"}"));
    dm_filter_set_save(&set, &saved);
    assert_true(dm_json_valid(dm_buf_slice(&saved)));
    assert_true(dm_filter_set_load(&again, dm_buf_slice(&saved)));
    assert_int_equal(again.count, 151);
    assert_true(dm_slice_eq(dm_buf_slice(&set.packed), dm_buf_slice(&again.packed)));
    static const char *const not [] = {"", "{", "{}", "null", "[1]", "[{\"type\":\"\"}]", "[{}]"};
    for (size_t i = 0; i < DM_COUNT(not ); i++)
        assert_false(dm_filter_set_load(&again, dm_slice_of(not [i])));
    assert_int_equal(again.count, 151); /* a failed load leaves what was there */
    assert_true(dm_filter_set_load(&again, DM_SLICE("[]")));
    assert_int_equal(again.count, 0);
    dm_buf_dispose(&text);
    dm_buf_dispose(&saved);
    dm_filter_set_dispose(&set);
    dm_filter_set_dispose(&again);
}

/* One megabyte of keys against sets full of filters: a walk a filter would take
 * minutes. The bound is generous, for sanitizers and a busy machine. */
static void test_hostile_payload(void **state)
{
    (void)state;
    struct dm_buf payload = DM_BUF_INIT, text = DM_BUF_INIT;
    struct dm_filter_set set = {0};
    dm_buf_add_byte(&payload, '{');
    for (int i = 100000; i > 0; i--)
        dm_buf_printf(&payload, "\"%d\":\"\",", i);
    dm_buf_lit(&payload, "\"last\":\"yes\"}");
    for (int i = 0; i < 200; i++) {
        dm_buf_clear(&text);
        dm_buf_printf(&text, "{\"type\":\"t\",\"%d\":\"\",\"last\":\"%s\"}", i + 1,
                      i == 199 ? "yes" : "no");
        assert_true(dm_filter_set_add(&set, dm_buf_slice(&text), 200));
    }
    const struct dm_envelope_draft draft = {.type = DM_SLICE("t"),
                                            .payload = dm_buf_slice(&payload)};
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    struct dm_filter_probe probe;
    uint64_t before = dm_clock_mono_ms();
    dm_filter_probe_init(&probe, envelope);
    for (int i = 0; i < 100; i++)
        assert_true(dm_filter_set_matches(&set, &probe));
    assert_true(dm_clock_mono_ms() - before < 5000);
    dm_filter_probe_dispose(&probe);
    dm_envelope_release(envelope);
    dm_filter_set_dispose(&set);
    dm_buf_dispose(&payload);
    dm_buf_dispose(&text);
}

DM_UNIT_MAIN(cmocka_unit_test(test_type_alone), cmocka_unit_test(test_fields),
             cmocka_unit_test(test_no_filters), cmocka_unit_test(test_equal_once),
             cmocka_unit_test(test_bounds), cmocka_unit_test(test_save_and_load),
             cmocka_unit_test(test_hostile_payload))
