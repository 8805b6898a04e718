/* iss and aud: checked where configured, in each form that RFC 7519 lets them have. */
#include "lib/unit.h"

#include <stdio.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/claims.h"
#include "auth/token.h"
#include "base/err.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1800000000000u /* ms */

static char *issuers[] = {"https://id.example/", "joe"};
static char *audiences[] = {"dormouse", "zo\xc3\xab"};

static int read_claim(const char *claim, size_t issuer_count, size_t audience_count)
{
    const struct dm_claims_rule rule = {
        .issuers = issuers,
        .issuer_count = issuer_count,
        .audiences = audiences,
        .audience_count = audience_count,
    };
    struct dm_principal who;
    char payload[300];
    snprintf(payload, sizeof payload, "{\"userId\":\"zoe\"%s%s}", *claim ? "," : "", claim);
    return dm_claims_read(dm_slice_of(payload), &rule, NOW, &who);
}

struct claim_case {
    const char *claim;
    int one, both; /* with one accepted value configured, with both */
};

static void iss_is_one_of_the_configured(void **state)
{
    (void)state;
    const struct claim_case cases[] = {
        {"\"iss\":\"https://id.example/\"", DM_OK, DM_OK},
        {"\"iss\":\"https:\\/\\/id.example\\/\"", DM_OK, DM_OK},
        {"\"iss\":\"joe\"", DM_ERR_UNAUTHORIZED, DM_OK},
        {"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"https://id.example\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"https://id.example/x\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"HTTPS://id.example/\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\" joe\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":null", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":7", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":true", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":[\"joe\"]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":{\"joe\":\"joe\"}", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"joe\",\"iss\":\"x\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"iss\":\"x\",\"iss\":\"joe\"", DM_ERR_UNAUTHORIZED, DM_OK},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        assert_int_equal(read_claim(cases[i].claim, 0, 0), DM_OK);
        if (read_claim(cases[i].claim, 1, 0) != cases[i].one ||
            read_claim(cases[i].claim, 2, 0) != cases[i].both)
            fail_msg("wrong answer to %s", cases[i].claim);
    }
}

static void aud_holds_one_of_the_configured(void **state)
{
    (void)state;
    const struct claim_case cases[] = {
        {"\"aud\":\"dormouse\"", DM_OK, DM_OK},
        {"\"aud\":[\"dormouse\"]", DM_OK, DM_OK},
        {"\"aud\":[\"x\",\"d\\u006frmouse\",\"y\"]", DM_OK, DM_OK},
        {"\"aud\":\"zo\\u00eb\"", DM_ERR_UNAUTHORIZED, DM_OK},
        {"\"aud\":[\"x\",\"zo\xc3\xab\"]", DM_ERR_UNAUTHORIZED, DM_OK},
        {"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":\"\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":\"Dormouse\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":\"dormouse x\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":[]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":[\"x\"]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":[[\"dormouse\"]]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":[\"dormouse\",7]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":[null,\"dormouse\"]", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":{\"aud\":\"dormouse\"}", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":7", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":null", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
        {"\"aud\":\"dormouse\",\"aud\":\"x\"", DM_ERR_UNAUTHORIZED, DM_ERR_UNAUTHORIZED},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        assert_int_equal(read_claim(cases[i].claim, 0, 0), DM_OK);
        if (read_claim(cases[i].claim, 0, 1) != cases[i].one ||
            read_claim(cases[i].claim, 0, 2) != cases[i].both)
            fail_msg("wrong answer to %s", cases[i].claim);
    }
}

static void both_must_be_met(void **state)
{
    (void)state;
    assert_int_equal(read_claim("\"iss\":\"joe\",\"aud\":\"dormouse\"", 2, 2), DM_OK);
    assert_int_equal(read_claim("\"iss\":\"joe\"", 2, 2), DM_ERR_UNAUTHORIZED);
    assert_int_equal(read_claim("\"aud\":\"dormouse\"", 2, 2), DM_ERR_UNAUTHORIZED);
    assert_int_equal(read_claim("\"iss\":\"dormouse\",\"aud\":\"joe\"", 2, 2), DM_ERR_UNAUTHORIZED);
}

/* Through the front, where the values are copies of the options' own. */
static void minted_tokens_can_name_them(void **state)
{
    (void)state;
    char *secrets[] = {SECRET};
    char issuer[] = "https://id.example/", audience[] = "zo\xc3\xab";
    char *issuer_list[] = {issuer}, *audience_list[] = {audience};
    struct dm_auth_options options = {.secrets = secrets,
                                      .secret_count = 1,
                                      .issuers = issuer_list,
                                      .issuer_count = 1,
                                      .audiences = audience_list,
                                      .audience_count = 1};
    struct dm_auth *auth = NULL;
    struct dm_buf token = DM_BUF_INIT, why = DM_BUF_INIT;
    struct dm_principal who;
    assert_int_equal(dm_auth_create(&options, &auth, &why), DM_OK);
    memset(issuer, 'x', sizeof issuer - 1);
    memset(audience, 'x', sizeof audience - 1);
    struct dm_token wanted = {.user_id = DM_SLICE("zoe"), .issued_ms = NOW};
    dm_token_sign(&token, DM_SLICE(SECRET), &wanted);
    assert_int_equal(dm_auth_check(auth, dm_buf_slice(&token), true, NOW, &who, NULL),
                     DM_ERR_UNAUTHORIZED);
    wanted.issuer = dm_slice_of(issuers[0]);
    wanted.audience = dm_slice_of(audiences[1]);
    dm_buf_clear(&token);
    dm_token_sign(&token, DM_SLICE(SECRET), &wanted);
    assert_int_equal(dm_auth_check(auth, dm_buf_slice(&token), true, NOW, &who, NULL), DM_OK);
    dm_auth_release(auth);
    dm_buf_dispose(&token);
    dm_buf_dispose(&why);
}

DM_UNIT_MAIN(cmocka_unit_test(iss_is_one_of_the_configured),
             cmocka_unit_test(aud_holds_one_of_the_configured), cmocka_unit_test(both_must_be_met),
             cmocka_unit_test(minted_tokens_can_name_them))
