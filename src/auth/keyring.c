/* Keys in the order in which they were added; a search is a walk, as there are few. */
#include "auth/keyring.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"

static struct dm_slice kid_of(const struct dm_keyring_entry *entry)
{
    return dm_slice(entry->kid, entry->kid_len);
}

static const char *check_room(const struct dm_keyring *ring, struct dm_slice kid)
{
    if (ring->count == DM_KEYS_MAX)
        return "is one more than the 64 there may be in all";
    if (kid.len > DM_KID_MAX)
        return "has a kid longer than 256 bytes";
    for (size_t i = 0; kid.at && i < ring->count; i++)
        if (ring->all[i].kid && dm_slice_eq(kid, kid_of(&ring->all[i])))
            return "has the kid of an earlier one";
    return NULL;
}

const char *dm_keyring_add(struct dm_keyring *ring, struct evp_pkey_st *pkey, struct dm_slice kid)
{
    const char *wrong = check_room(ring, kid);
    if (wrong) {
        EVP_PKEY_free(pkey);
        return wrong;
    }
    struct dm_keyring_entry *entry = &ring->all[ring->count];
    wrong = dm_public_key_init(&entry->key, pkey);
    if (wrong)
        return wrong;
    entry->kid = kid.at ? dm_strndup(kid.at, kid.len) : NULL;
    entry->kid_len = kid.len;
    ring->count++;
    return NULL;
}

void dm_keyring_dispose(struct dm_keyring *ring)
{
    for (size_t i = 0; i < ring->count; i++) {
        dm_public_key_dispose(&ring->all[i].key);
        free(ring->all[i].kid);
    }
    ring->count = 0;
}

static const struct dm_keyring_entry *named(const struct dm_keyring *ring, struct dm_slice kid)
{
    for (size_t i = 0; i < ring->count; i++)
        if (ring->all[i].kid && dm_json_string_is(kid, kid_of(&ring->all[i])))
            return &ring->all[i];
    return NULL;
}

bool dm_keyring_verify(const struct dm_keyring *ring, enum dm_alg alg, struct dm_slice kid,
                       struct dm_slice text, struct dm_slice signature)
{
    const struct dm_keyring_entry *meant = kid.at ? named(ring, kid) : NULL;
    if (meant)
        return meant->key.alg == alg && dm_public_key_verify(&meant->key, text, signature);
    unsigned tried = 0;
    for (size_t i = 0; i < ring->count && tried < DM_KEYS_TRIED; i++) {
        const struct dm_keyring_entry *entry = &ring->all[i];
        if (entry->key.alg != alg || entry->key.signature_len != signature.len ||
            (kid.at && entry->kid))
            continue;
        if (dm_public_key_verify(&entry->key, text, signature))
            return true;
        tried++;
    }
    return false;
}
