/* Reads URLs of hooks, and tells which are safe. */
#include "net/hook_url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/buf.h"

static const char form[] = "must be an https:// URL, an http:// URL of this machine, or unix:/path";

static bool is_clean(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

/* "unix:/run/app.sock", "unix:/run/app.sock:/hooks/auth" */
static const char *read_unix(const char *text, struct dm_hook_url *out)
{
    struct dm_slice path = dm_slice_of(text), socket = dm_slice_split(&path, ':');
    if (socket.len < 2 || socket.at[0] != '/' ||
        socket.len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return "must name a socket by an absolute path of at most 107 bytes";
    if (path.at && (!path.len || path.at[0] != '/'))
        return "must have a path that begins with / behind the socket's";
    struct dm_buf url = DM_BUF_INIT;
    dm_buf_lit(&url, "http://localhost");
    dm_buf_add_slice(&url, path.at ? path : DM_SLICE("/"));
    out->socket = dm_strndup(socket.at, socket.len);
    out->url = dm_strndup(url.bytes, url.len);
    dm_buf_dispose(&url);
    return NULL;
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    char inner[INET6_ADDRSTRLEN + 2];
    size_t len = strlen(host);
    if (dm_slice_eq_nocase(dm_slice_of(host), DM_SLICE("localhost")))
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (len < 3 || len >= sizeof inner || host[0] != '[')
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = 0;
    return inet_pton(AF_INET6, inner, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static const char *judge(CURLU *parsed, bool insecure)
{
    char *scheme = NULL, *host = NULL, *fragment = NULL;
    const char *wrong = NULL;
    if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK || !*host)
        wrong = form;
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        wrong = form;
    else if (curl_url_get(parsed, CURLUPART_FRAGMENT, &fragment, 0) != CURLUE_NO_FRAGMENT)
        wrong = "must have no fragment";
    else if (!insecure && strcmp(scheme, "http") == 0 && !is_loopback(host))
        wrong = "must be https: plain http is for 127.0.0.0/8, [::1] and localhost, or with "
                "hook_insecure";
    curl_free(scheme);
    curl_free(host);
    curl_free(fragment);
    return wrong;
}

static const char *read_network(const char *text, bool insecure, struct dm_hook_url *out)
{
    char *whole = NULL;
    CURLU *parsed = curl_url();
    DM_CHECK(parsed);
    const char *wrong = form;
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, text, CURLU_DISALLOW_USER);
    if (code == CURLUE_OK)
        wrong = judge(parsed, insecure);
    else if (code == CURLUE_USER_NOT_ALLOWED)
        wrong = "must hold no user and no password: calls are signed with hook_secret";
    if (!wrong && curl_url_get(parsed, CURLUPART_URL, &whole, 0) == CURLUE_OK)
        out->url = dm_strndup(whole, strlen(whole));
    else if (!wrong)
        wrong = form;
    curl_free(whole);
    curl_url_cleanup(parsed);
    return wrong;
}

const char *dm_hook_url_read(const char *text, bool insecure, struct dm_hook_url *out)
{
    *out = (struct dm_hook_url){NULL, NULL};
    if (!is_clean(text))
        return "must hold no blanks, and nothing but ASCII";
    if (strncmp(text, "unix:", 5) == 0)
        return read_unix(text + 5, out);
    return read_network(text, insecure, out);
}

void dm_hook_url_dispose(struct dm_hook_url *url)
{
    free(url->url);
    free(url->socket);
    *url = (struct dm_hook_url){NULL, NULL};
}
