/* Sets libcurl up for one call, and takes what comes back, bounded. */
#include <stdlib.h>

#include "base/clock.h"
#include "net/hook_priv.h"
#include "net/hook_sign.h"

void dm_hook_call_dispose(struct dm_hook_call *call)
{
    dm_buf_dispose(&call->body);
    dm_buf_dispose(&call->answer);
}

/* Less than it was given makes libcurl end the transfer. */
static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct dm_hook_call *call = context;
    call->way.too_large = call->answer.len + size * count > DM_HOOK_ANSWER_MAX;
    if (call->way.too_large)
        return 0;
    dm_buf_add(&call->answer, bytes, size * count);
    return size * count;
}

static size_t take_head(char *bytes, size_t size, size_t count, void *context)
{
    struct dm_hook_call *call = context;
    (void)bytes;
    call->way.head_bytes += size * count;
    call->way.too_large = call->way.head_bytes > DM_HOOK_ANSWER_HEAD_MAX;
    return call->way.too_large ? 0 : size * count;
}

static void add_header(struct dm_hook_call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->way.headers, line);
    DM_CHECK(more);
    call->way.headers = more;
}

static void add_headers(struct dm_hook_call *call, const struct dm_hmac_key *key)
{
    struct dm_buf signature = DM_BUF_INIT;
    dm_hook_sign(key, dm_clock_wall_ms() / 1000, dm_buf_slice(&call->body), &signature);
    add_header(call, dm_buf_text(&signature));
    add_header(call, "Content-Type: application/json");
    add_header(call, "Accept: application/json");
    add_header(call, "Expect:"); /* none: it costs a round trip */
    dm_buf_dispose(&signature);
}

#define SET(option, value) DM_CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK)

/* Nothing of the environment counts: no proxy, no netrc, no other protocol. */
static void set_target(CURL *easy, const struct dm_hook_url *url)
{
    SET(CURLOPT_URL, url->url);
    SET(CURLOPT_UNIX_SOCKET_PATH, url->socket);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_USERAGENT, "dormouse/" DM_VERSION);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or one slow DNS server would hold up all that come after it */
    if (getenv("SSL_CERT_FILE"))
        SET(CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
}

void dm_hook_transfer_start(struct dm_hook_call *call, const struct dm_hook_url *url,
                            const struct dm_hmac_key *key, uint64_t left_ms)
{
    CURL *easy = curl_easy_init();
    DM_CHECK(easy);
    call->way.easy = easy;
    add_headers(call, key);
    set_target(easy, url);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_HTTPHEADER, call->way.headers);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, dm_buf_text(&call->body));
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    SET(CURLOPT_TIMEOUT_MS, (long)left_ms);
    SET(CURLOPT_WRITEFUNCTION, take_answer);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, take_head);
    SET(CURLOPT_HEADERDATA, call);
}

const char *dm_hook_transfer_end(struct dm_hook_call *call, CURLcode code)
{
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo((CURL *)call->way.easy, CURLINFO_RESPONSE_CODE, &status);
    call->status = (int)status;
    if (!status)
        dm_buf_clear(&call->answer);
    curl_easy_cleanup(call->way.easy);
    curl_slist_free_all(call->way.headers);
    if (call->way.too_large)
        return "the answer is too large";
    if (code != CURLE_OK)
        return curl_easy_strerror(code);
    return status == 200 || status / 100 == 4 ? NULL : "it answered neither 200 nor 4xx";
}
