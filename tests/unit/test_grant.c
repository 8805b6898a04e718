/* What claims grant, what hooks' answers say, and which names need a grant. */
#include "lib/unit.h"

#include <stdio.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/grant.h"
#include "base/err.h"
#include "codec/json.h"
#include "model/name.h"

#define NOW 1800000000000u /* ms */

static void patterns_cover_names(void **state)
{
    (void)state;
    const struct {
        const char *channels, *name;
        bool covered;
    } cases[] = {
        {"[\"private-a\"]", "private-a", true},
        {"[\"private-a\"]", "private-ab", false},
        {"[\"private-ab\"]", "private-a", false},
        {"[\"private-*\"]", "private-", true},
        {"[\"private-*\"]", "private-a", true},
        {"[\"private-*\"]", "presence-a", false},
        {"[\"private-*\"]", "Private-a", false},
        {"[\"private-a*\"]", "private-a*", true},
        {"[\"*\"]", "presence-a", true},
        {"[\"**\"]", "presence-a", false},
        {"[\"*-a\"]", "private-a", false},
        {"[\"private-*-b\"]", "private-a-b", false},
        {"[\"\"]", "private-a", false},
        {"[\"x\",\"private-a\"]", "private-a", true},
        {"[7,null,[\"*\"],{\"a\":\"*\"},\"private-a\"]", "private-a", true},
        {"[7,null,[\"*\"],{\"a\":\"*\"}]", "private-a", false},
        {"[\"private-\\u0061\"]", "private-a", true},
        {"[\"private-z\\u00e9\"]", "private-z\xc3\xa9", true},
        {"[\" private-a\"]", "private-a", false},
        {"\"*\"", "private-a", false},
        {"{\"0\":\"*\"}", "private-a", false},
        {"null", "private-a", false},
        {"true", "private-a", false},
        {"[]", "private-a", false},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        char claims[200];
        snprintf(claims, sizeof claims, "{\"channels\":%s}", cases[i].channels);
        assert_true(dm_json_valid(dm_slice_of(claims)));
        if (dm_grant_covers(dm_slice_of(claims), dm_slice_of(cases[i].name)) != cases[i].covered)
            fail_msg("%s and %s", cases[i].channels, cases[i].name);
    }
    assert_false(dm_grant_covers(DM_NO_SLICE, DM_SLICE("private-a")));
    assert_false(dm_grant_covers(DM_SLICE("{}"), DM_SLICE("private-a")));
    assert_false(
        dm_grant_covers(DM_SLICE("{\"channels\":[\"*\"],\"channels\":[]}"), DM_SLICE("private-a")));
}

static void names_with_a_prefix_need_a_grant(void **state)
{
    (void)state;
    const char *const need[] = {"private-a", "presence-a",  "private-",  "presence-",
                                "Private-a", "PRESENCE-ab", "pRIVATE-x", "private-\xc3\xa9"};
    const char *const open[] = {"",         "a",          "private",  "presence",
                                "privat-e", "xprivate-a", "private_a"};
    for (size_t i = 0; i < DM_COUNT(need); i++)
        if (!dm_name_needs_grant(dm_slice_of(need[i])))
            fail_msg("%s", need[i]);
    for (size_t i = 0; i < DM_COUNT(open); i++)
        if (dm_name_needs_grant(dm_slice_of(open[i])))
            fail_msg("%s", open[i]);
}

static void only_allow_true_is_a_yes(void **state)
{
    (void)state;
    const struct {
        const char *body;
        int err;
    } cases[] = {
        {"{\"allow\":true}", DM_OK},
        {" {\"why\":1, \"allow\" : true } ", DM_OK},
        {"{\"allow\":false,\"allow\":true}", DM_OK},
        {"{\"allow\":true,\"allow\":false}", DM_ERR_FORBIDDEN},
        {"{\"allow\":false}", DM_ERR_FORBIDDEN},
        {"{\"allow\":1}", DM_ERR_FORBIDDEN},
        {"{\"allow\":\"true\"}", DM_ERR_FORBIDDEN},
        {"{\"allow\":[true]}", DM_ERR_FORBIDDEN},
        {"{\"Allow\":true}", DM_ERR_FORBIDDEN},
        {"{}", DM_ERR_FORBIDDEN},
        {"true", DM_ERR_FORBIDDEN},
        {"[]", DM_ERR_FORBIDDEN},
        {"\"allow\"", DM_ERR_FORBIDDEN},
        {"", DM_ERR_HOOK_UNAVAILABLE},
        {"yes", DM_ERR_HOOK_UNAVAILABLE},
        {"{\"allow\":true", DM_ERR_HOOK_UNAVAILABLE},
        {"{\"allow\":true}}", DM_ERR_HOOK_UNAVAILABLE},
        {"{\"allow\":True}", DM_ERR_HOOK_UNAVAILABLE},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++)
        if (dm_grant_read_answer(dm_slice_of(cases[i].body)) != cases[i].err)
            fail_msg("%s", cases[i].body);
}

static int read_answer(const char *body, struct dm_principal *who)
{
    struct dm_slice claims;
    int err = dm_claims_read_answer(dm_slice_of(body), NOW, who, &claims);
    if (!err)
        assert_int_equal(dm_json_kind(claims), DM_JSON_OBJECT);
    return err;
}

static void an_answer_makes_a_principal(void **state)
{
    (void)state;
    struct dm_principal who;
    struct dm_slice claims;
    const char *body = " {\"userId\":\" zo\\u00eb \",\"scope\":\"admin publish x\",\"expiresAt\":"
                       "1800000001.5,\"channels\":[\"*\"]}\n";
    assert_int_equal(dm_claims_read_answer(dm_slice_of(body), NOW, &who, &claims), DM_OK);
    assert_int_equal(who.kind, DM_PRINCIPAL_USER);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("zo\xc3\xab")));
    assert_int_equal(who.scopes, DM_SCOPE_ADMIN | DM_SCOPE_PUBLISH);
    assert_int_equal(who.expires_ms, NOW + 1500);
    assert_true(dm_grant_covers(claims, DM_SLICE("private-a")));
    assert_int_equal(claims.at[0], '{');
    assert_int_equal(claims.at[claims.len - 1], '}');
}

static void the_end_is_in_seconds_or_milliseconds(void **state)
{
    (void)state;
    const struct {
        const char *end;
        int err;
        uint64_t ms;
    } cases[] = {
        {"1800000001", DM_OK, NOW + 1000},
        {"1800000000001", DM_OK, NOW + 1},
        {"100000000000", DM_OK, 100000000000000u}, /* the last that are seconds */
        {"100000000001", DM_ERR_UNAUTHORIZED, 0},  /* milliseconds of 1973 */
        {"1800000000", DM_ERR_UNAUTHORIZED, 0},    /* now */
        {"1800000000000", DM_ERR_UNAUTHORIZED, 0},
        {"-1", DM_ERR_UNAUTHORIZED, 0},
        {"-1e400", DM_ERR_UNAUTHORIZED, 0},
        {"1e400", DM_OK, 0}, /* never */
        {"null", DM_OK, 0},
        {"\"1900000000\"", DM_ERR_HOOK_UNAVAILABLE, 0},
        {"false", DM_ERR_HOOK_UNAVAILABLE, 0},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_principal who;
        char body[100];
        snprintf(body, sizeof body, "{\"userId\":\"zoe\",\"expiresAt\":%s}", cases[i].end);
        if (read_answer(body, &who) != cases[i].err ||
            (!cases[i].err && who.expires_ms != cases[i].ms))
            fail_msg("%s", body);
    }
}

static void an_answer_without_a_sound_user_is_none(void **state)
{
    (void)state;
    const char *const bad[] = {"{}",
                               "[]",
                               "null",
                               "",
                               "{\"userId\":null}",
                               "{\"userId\":7}",
                               "{\"userId\":\"\"}",
                               "{\"userId\":\"guest:a\"}",
                               "{\"userId\":\"..\"}",
                               "{\"userId\":\"\\ud800\"}",
                               "{\"sub\":\"zoe\"}",
                               "{\"userId\":\"zoe\"",
                               "{\"userId\":\"zoe\",\"userId\":7}"};
    struct dm_principal who;
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        if (read_answer(bad[i], &who) != DM_ERR_HOOK_UNAVAILABLE)
            fail_msg("%s", bad[i]);
}

DM_UNIT_MAIN(cmocka_unit_test(patterns_cover_names),
             cmocka_unit_test(names_with_a_prefix_need_a_grant),
             cmocka_unit_test(only_allow_true_is_a_yes),
             cmocka_unit_test(an_answer_makes_a_principal),
             cmocka_unit_test(the_end_is_in_seconds_or_milliseconds),
             cmocka_unit_test(an_answer_without_a_sound_user_is_none))
