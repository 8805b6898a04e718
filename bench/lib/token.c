/* JWS compact serialisation (RFC 7515) with HMAC-SHA256. */
#include "lib/token.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"

static void add_base64url(struct dm_buf *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < len ? bytes[i + 2] : 0;
        size_t left = len - i;
        for (unsigned place = 0; place < 4 && place <= left; place++)
            dm_buf_add_byte(out, digits[word >> (18 - 6 * place) & 63]);
    }
}

void dm_secret_make(char out[DM_SECRET_LEN + 1])
{
    unsigned char bytes[DM_SECRET_LEN / 2];
    dm_rand_kernel(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void dm_token_mint(struct dm_buf *out, const char *secret, const char *user, unsigned seconds)
{
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    char claims[256];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    uint64_t now = dm_clock_wall_ms() / 1000;
    int len = snprintf(claims, sizeof claims, "{\"userId\":\"%s\",\"iat\":%" PRIu64, user, now);
    size_t room = sizeof claims - (size_t)len;
    if (seconds)
        len += snprintf(claims + len, room, ",\"exp\":%" PRIu64 "}", now + seconds);
    else
        len += snprintf(claims + len, room, "}");
    size_t start = out->len;
    add_base64url(out, (const unsigned char *)head, sizeof head - 1);
    dm_buf_add_byte(out, '.');
    add_base64url(out, (const unsigned char *)claims, (size_t)len);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)out->bytes + start,
         out->len - start, mac, &mac_len);
    dm_buf_add_byte(out, '.');
    add_base64url(out, mac, mac_len);
}
