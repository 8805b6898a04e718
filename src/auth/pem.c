/* PEM blocks through OpenSSL's reader, one after the other. */
#include "auth/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/err.h"

struct block {
    char *name, *header;
    unsigned char *bytes;
    long len;
};

static void dispose(struct block *block)
{
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    OPENSSL_clear_free(block->bytes, (size_t)block->len); /* perhaps of a private key */
    *block = (struct block){0};
}

static const char *add(struct dm_keyring *ring, const struct block *block)
{
    const unsigned char *at = block->bytes;
    if (strstr(block->name, "PRIVATE KEY"))
        return "is a private key: give the public one (openssl pkey -pubout)";
    if (strcmp(block->name, "CERTIFICATE") == 0)
        return "is a certificate: give its key (openssl x509 -pubkey -noout)";
    if (strcmp(block->name, "PUBLIC KEY") != 0)
        return "is not a PUBLIC KEY block (openssl pkey -pubin)";
    EVP_PKEY *pkey = d2i_PUBKEY_ex(NULL, &at, block->len, NULL, NULL);
    if (!pkey)
        return "cannot be read";
    if (at != block->bytes + block->len) {
        EVP_PKEY_free(pkey);
        return "has something behind it";
    }
    return dm_keyring_add(ring, pkey, DM_NO_SLICE);
}

static int read_all(struct dm_keyring *ring, BIO *text, struct dm_buf *why)
{
    struct block block = {0};
    size_t count = 0;
    while (PEM_read_bio(text, &block.name, &block.header, &block.bytes, &block.len) == 1) {
        const char *wrong = add(ring, &block);
        dispose(&block);
        count++;
        if (wrong) {
            dm_buf_printf(why, "key %zu %s", count, wrong);
            return DM_ERR_INVALID_FIELD;
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        dm_buf_printf(why, "key %zu is no whole PEM block", count + 1);
    else if (!count)
        dm_buf_lit(why, "there is no PEM block in it");
    else
        return DM_OK;
    return DM_ERR_INVALID_FIELD;
}

int dm_pem_read(struct dm_keyring *ring, struct dm_slice text, struct dm_buf *why)
{
    if (!text.len || text.len > INT_MAX) {
        dm_buf_add_slice(why, dm_slice_of(text.len ? "it is too large" : "it is empty"));
        return DM_ERR_INVALID_FIELD;
    }
    ERR_set_mark();
    BIO *source = BIO_new_mem_buf(text.at, (int)text.len);
    DM_CHECK(source);
    int err = read_all(ring, source, why);
    BIO_free(source);
    ERR_pop_to_mark();
    return err;
}
