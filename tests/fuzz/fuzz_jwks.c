/*
 * Files of public keys, which somebody else writes: whatever is in one, it gives keys
 * of the three kinds within their bounds, or a reason in one line. An input that
 * begins with "-" is PEM, any other a JWKS. Inputs come in exact heap blocks.
 */
#include <openssl/err.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/pem.h"
#include "base/alloc.h"
#include "base/err.h"

static void check_key(const struct dm_public_key *key)
{
    const size_t least = DM_RSA_BITS_MIN / 8, most = DM_RSA_BITS_MAX / 8;
    DM_CHECK(key->pkey);
    if (key->alg == DM_ALG_RS256)
        DM_CHECK(key->signature_len >= least && key->signature_len <= most);
    else
        DM_CHECK(key->alg < DM_ALG_COUNT && key->signature_len == 64);
    char junk[DM_RSA_BITS_MAX / 8];
    memset(junk, 0x42,
           sizeof junk); /* as Ed25519's s out of range, so a key of small order fails */
    DM_CHECK(!dm_public_key_verify(key, DM_SLICE("x.y"), dm_slice(junk, key->signature_len)));
}

static void check_name(const struct dm_keyring *ring, size_t at)
{
    const struct dm_keyring_entry *entry = &ring->all[at];
    DM_CHECK(entry->kid_len <= DM_KID_MAX && (entry->kid || !entry->kid_len));
    struct dm_slice kid = dm_slice(entry->kid, entry->kid_len);
    for (size_t i = 0; entry->kid && i < at; i++)
        DM_CHECK(!ring->all[i].kid ||
                 !dm_slice_eq(kid, dm_slice(ring->all[i].kid, ring->all[i].kid_len)));
}

static void check(const struct dm_keyring *ring, int err, const struct dm_buf *why, bool named)
{
    DM_CHECK(err == DM_OK || err == DM_ERR_INVALID_FIELD);
    DM_CHECK((err == DM_OK) == (why->len == 0));
    DM_CHECK(!why->len || !memchr(why->bytes, '\n', why->len));
    DM_CHECK(ring->count <= DM_KEYS_MAX && (err || ring->count));
    for (size_t i = 0; i < ring->count; i++) {
        check_key(&ring->all[i].key);
        check_name(ring, i);
        DM_CHECK(named || !ring->all[i].kid);
    }
    DM_CHECK(ERR_peek_error() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    struct dm_keyring ring = {.count = 0};
    struct dm_buf why = DM_BUF_INIT;
    bool is_pem = size && *copy == '-';
    int err = is_pem ? dm_pem_read(&ring, text, &why) : dm_jwks_read(&ring, text, &why);
    free(copy);
    check(&ring, err, &why, !is_pem);
    dm_keyring_dispose(&ring);
    dm_buf_dispose(&why);
    return 0;
}
