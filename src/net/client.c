/* The client's HTTP: one request, one answer with a Content-Length or up to the end of file. */
#include "net/client.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"
#include "net/client_io.h"

enum { HEAD_MAX = 64 * 1024, ACCEPT_LEN = 28 };

struct dm_client *dm_client_connect(const char *url, const char *path, uint32_t timeout_ms,
                                    struct dm_buf *why)
{
    struct dm_client *client = DM_NEW(struct dm_client);
    client->line.fd = -1;
    client->timeout_ms = timeout_ms;
    if (!dm_client_dial(client, url, path, why))
        dm_client_destroy(&client);
    return client;
}

void dm_client_destroy(struct dm_client **client)
{
    struct dm_client *old = *client;
    if (!old)
        return;
    if (old->line.fd >= 0)
        dm_line_close(old->line);
    dm_buf_dispose(&old->host);
    dm_buf_dispose(&old->path);
    dm_buf_dispose(&old->in);
    dm_buf_dispose(&old->out);
    dm_buf_dispose(&old->gathered);
    free(old);
    *client = NULL;
}

struct head {
    int status;
    bool has_length, chunked, extended;
    uint64_t length;
    struct dm_slice accept;
};

static bool fail(struct dm_buf *why, const char *what)
{
    dm_buf_add_slice(why, dm_slice_of(what));
    return false;
}

static bool read_length(struct dm_slice text, uint64_t *length)
{
    *length = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || *length > DM_CLIENT_MAX)
            return false;
        *length = *length * 10 + (uint64_t)(text.at[i] - '0');
    }
    return text.len > 0 && *length <= DM_CLIENT_MAX;
}

static bool read_field(struct dm_slice line, struct head *head)
{
    struct dm_slice value = line, name = dm_slice_split(&value, ':');
    if (!value.at)
        return false;
    value = dm_slice_trim(value);
    if (dm_slice_eq_nocase(name, DM_SLICE("content-length"))) {
        head->has_length = true;
        return read_length(value, &head->length);
    }
    if (dm_slice_eq_nocase(name, DM_SLICE("transfer-encoding")))
        head->chunked = true;
    else if (dm_slice_eq_nocase(name, DM_SLICE("sec-websocket-accept")))
        head->accept = value;
    else if (dm_slice_eq_nocase(name, DM_SLICE("sec-websocket-extensions")))
        head->extended = true;
    return true;
}

/* "HTTP/1.1 200 OK" and the fields, each line without its CRLF. */
static bool read_head(struct dm_slice text, struct head *head)
{
    struct dm_slice line = dm_slice_split(&text, '\n');
    *head = (struct head){0};
    if (line.len < 12 || !dm_slice_starts(line, DM_SLICE("HTTP/1.")))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return false;
        head->status = head->status * 10 + (line.at[i] - '0');
    }
    while (text.at) {
        line = dm_slice_split(&text, '\n');
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        if (line.len && !read_field(line, head))
            return false;
    }
    return true;
}

/* Reads until the blank line; leaves `at` behind it. `head` points into `in`. */
static bool receive_head(struct dm_client *client, uint64_t deadline, struct head *head,
                         struct dm_buf *why)
{
    size_t looked = 0;
    for (;;) {
        struct dm_slice text = dm_client_unread(client);
        const char *end =
            text.len > looked ? memmem(text.at + looked, text.len - looked, "\r\n\r\n", 4) : NULL;
        if (end) {
            text.len = (size_t)(end - text.at);
            client->at += text.len + 4;
            return read_head(text, head) || fail(why, "the answer is not HTTP");
        }
        looked = text.len > 3 ? text.len - 3 : 0;
        if (text.len > HEAD_MAX)
            return fail(why, "the answer's header is too large");
        enum dm_client_read got = dm_client_fill(client, deadline, why);
        if (got == DM_CLIENT_READ_LATE)
            return fail(why, "no answer in time");
        if (got == DM_CLIENT_READ_END)
            return false;
    }
}

static bool receive_body(struct dm_client *client, uint64_t deadline, const struct head *head,
                         struct dm_client_answer *answer, struct dm_buf *why)
{
    if (head->chunked)
        return fail(why, "the answer is chunked, which this client does not read");
    while (!head->has_length || client->in.len - client->at < head->length) {
        if (client->in.len - client->at > DM_CLIENT_MAX)
            return fail(why, "the answer is too large");
        size_t before = why->len;
        enum dm_client_read got = dm_client_fill(client, deadline, why);
        if (got == DM_CLIENT_READ_END && !head->has_length) {
            why->len = before; /* the end was the end of the answer */
            break;
        }
        if (got == DM_CLIENT_READ_LATE)
            return fail(why, "no whole answer in time");
        if (got == DM_CLIENT_READ_END)
            return false;
    }
    answer->body = dm_client_unread(client);
    if (head->has_length)
        answer->body.len = head->length;
    client->at += answer->body.len;
    return true;
}

static bool header_safe(struct dm_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < ' ' || text.at[i] > '~')
            return false;
    return true;
}

/* The request line, Host and Authorization. */
static bool begin(struct dm_client *client, const char *method, struct dm_slice token,
                  struct dm_buf *why)
{
    if (!header_safe(token))
        return fail(why, "the token holds characters that no header has");
    dm_buf_clear(&client->out);
    dm_buf_printf(&client->out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: dormouse/" DM_VERSION,
                  method, dm_buf_text(&client->path), dm_buf_text(&client->host));
    if (token.len) {
        dm_buf_lit(&client->out, "\r\nAuthorization: Bearer ");
        dm_buf_add_slice(&client->out, token);
    }
    dm_buf_lit(&client->out, "\r\n");
    return true;
}

static bool exchange(struct dm_client *client, struct dm_client_answer *answer, struct dm_buf *why)
{
    struct head head;
    uint64_t deadline = dm_clock_mono_ms() + client->timeout_ms;
    if (!dm_client_flush(client, why) || !receive_head(client, deadline, &head, why))
        return false;
    answer->status = head.status;
    return receive_body(client, deadline, &head, answer, why);
}

bool dm_client_get(struct dm_client *client, struct dm_slice token, struct dm_client_answer *answer,
                   struct dm_buf *why)
{
    if (!begin(client, "GET", token, why))
        return false;
    dm_buf_lit(&client->out, "Connection: close\r\n\r\n");
    return exchange(client, answer, why);
}

bool dm_client_post(struct dm_client *client, struct dm_slice token, struct dm_slice body,
                    struct dm_client_answer *answer, struct dm_buf *why)
{
    if (!begin(client, "POST", token, why))
        return false;
    dm_buf_printf(&client->out,
                  "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                  "Connection: close\r\n\r\n",
                  body.len);
    dm_buf_add_slice(&client->out, body);
    return exchange(client, answer, why);
}

/* RFC 6455 section 4.2.2: the base64 of the SHA-1 of the key and a fixed text. */
static void expected_accept(const char *key, char out[ACCEPT_LEN + 1])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_printf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    DM_CHECK(EVP_Digest(text.bytes, text.len, hash, &len, EVP_sha1(), NULL) == 1 && len == 20);
    EVP_EncodeBlock((unsigned char *)out, hash, (int)len);
    dm_buf_dispose(&text);
}

bool dm_client_upgrade(struct dm_client *client, struct dm_slice token,
                       struct dm_client_answer *answer, struct dm_buf *why)
{
    struct head head;
    uint64_t deadline = dm_clock_mono_ms() + client->timeout_ms;
    unsigned char nonce[16];
    char key[25], accept[ACCEPT_LEN + 1];
    dm_rand_kernel(nonce, sizeof nonce);
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    expected_accept(key, accept);
    if (!begin(client, "GET", token, why))
        return false;
    dm_buf_printf(&client->out,
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: %s\r\n\r\n",
                  key);
    if (!dm_client_flush(client, why) || !receive_head(client, deadline, &head, why))
        return false;
    *answer = (struct dm_client_answer){.status = head.status};
    if (head.status != 101)
        return receive_body(client, deadline, &head, answer, why);
    if (!dm_slice_eq(head.accept, dm_slice_of(accept)) || head.extended)
        return fail(why, "the answer to the WebSocket handshake is wrong");
    return true;
}
