/* Signs the body of a hook's call. */
#include "net/hook_sign.h"

void dm_hook_sign(const struct dm_hmac_key *key, uint64_t unix_s, struct dm_slice body,
                  struct dm_buf *out)
{
    struct dm_buf text = DM_BUF_INIT;
    uint8_t mac[DM_HMAC_LEN];
    dm_buf_add_number(&text, unix_s);
    dm_buf_lit(out, "Dormouse-Signature: t=");
    dm_buf_add_slice(out, dm_buf_slice(&text));
    dm_buf_add_byte(&text, '.');
    dm_buf_add_slice(&text, body);
    dm_hmac(key, dm_buf_slice(&text), mac);
    dm_buf_lit(out, ",v1=");
    for (size_t i = 0; i < sizeof mac; i++)
        dm_buf_printf(out, "%02x", mac[i]);
    dm_buf_dispose(&text);
}
