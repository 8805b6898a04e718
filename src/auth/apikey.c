/* API keys: entries in, digests kept. */
#include "auth/apikey.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"

static void digest(const struct dm_api_keys *keys, struct dm_slice text,
                   uint8_t out[DM_API_KEY_DIGEST])
{
    unsigned len = 0;
    DM_CHECK(EVP_Digest(text.at, text.len, out, &len, keys->sha256, NULL) == 1 &&
             len == DM_API_KEY_DIGEST);
}

static bool name_ok(struct dm_slice name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    for (size_t i = 0; i < name.len; i++)
        if (!memchr(allowed, name.at[i], sizeof allowed - 1))
            return false;
    return name.len > 0 && name.len <= DM_API_KEY_NAME_MAX;
}

static bool visible(struct dm_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return false;
    return true;
}

/* What is wrong with an entry; NULL if nothing. */
static const char *read_entry(struct dm_slice entry, struct dm_slice *name, struct dm_slice *secret)
{
    *secret = entry;
    *name = dm_slice_split(secret, '=');
    if (!secret->at)
        return "is not name=secret";
    if (!name_ok(*name))
        return "has a name that is not 1 to 64 of A-Z a-z 0-9 _ . -";
    if (secret->len < DM_API_KEY_MIN)
        return "has a secret shorter than 16 bytes";
    if (secret->len > DM_API_KEY_MAX)
        return "has a secret longer than 512 bytes";
    if (!visible(*secret))
        return "has a secret that is not all visible ASCII characters";
    return NULL;
}

static const char *add(struct dm_api_keys *keys, struct dm_slice entry)
{
    struct dm_slice name, secret;
    const char *wrong = read_entry(entry, &name, &secret);
    if (wrong)
        return wrong;
    struct dm_api_key *key = &keys->all[keys->count];
    memcpy(key->name, name.at, name.len);
    key->name_len = (uint8_t)name.len;
    digest(keys, secret, key->digest);
    for (const struct dm_api_key *other = keys->all; other < key; other++) {
        if (dm_slice_eq(name, dm_slice(other->name, other->name_len)))
            return "has the name of an earlier one";
        if (memcmp(other->digest, key->digest, sizeof key->digest) == 0)
            return "has the secret of an earlier one";
    }
    keys->count++;
    return NULL;
}

int dm_api_keys_init(struct dm_api_keys *keys, char *const *entries, size_t count,
                     struct dm_buf *why)
{
    *keys = (struct dm_api_keys){.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)};
    DM_CHECK(keys->sha256);
    keys->all = dm_calloc(count ? count : 1, sizeof *keys->all);
    for (size_t i = 0; i < count; i++) {
        const char *wrong = add(keys, dm_slice_of(entries[i]));
        if (wrong) {
            dm_buf_printf(why, "api_keys: entry %zu %s", i + 1, wrong);
            return DM_ERR_INVALID_FIELD;
        }
    }
    return DM_OK;
}

void dm_api_keys_dispose(struct dm_api_keys *keys)
{
    if (keys->all)
        OPENSSL_cleanse(keys->all, keys->count * sizeof *keys->all);
    free(keys->all);
    EVP_MD_free(keys->sha256);
    *keys = (struct dm_api_keys){0};
}

const struct dm_api_key *dm_api_keys_find(const struct dm_api_keys *keys,
                                          struct dm_slice credential)
{
    if (!keys->count || credential.len < DM_API_KEY_MIN || credential.len > DM_API_KEY_MAX)
        return NULL;
    uint8_t presented[DM_API_KEY_DIGEST];
    const struct dm_api_key *found = NULL;
    digest(keys, credential, presented);
    for (size_t i = 0; i < keys->count; i++)
        if (CRYPTO_memcmp(keys->all[i].digest, presented, sizeof presented) == 0)
            found = &keys->all[i];
    return found;
}
