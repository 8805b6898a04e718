/* The burrow's sockets over TLS: what crosses records, and what no e2e client of ours can do. */
#include "lib/unit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>

#include "lib/burrow_rig.h"
#include "lib/signer.h"
#include "net/line.h"
#include "net/tls.h"

/* A burrow, and at the other end of one of its sockets a client of OpenSSL's. */
struct talk {
    struct rig rig;
    SSL_CTX *server, *client;
    SSL *peer;
    int fd; /* the peer's */
    uint32_t sock;
};

static void add_pem(struct dm_buf *out, BIO *text)
{
    char *at;
    long len = BIO_get_mem_data(text, &at);
    dm_buf_add(out, at, (size_t)len);
    BIO_free(text);
}

static void make_pair(struct dm_buf *certificate, struct dm_buf *private)
{
    EVP_PKEY *key = dm_signer_key("P-256");
    X509 *x509 = X509_new();
    BIO *text = BIO_new(BIO_s_mem());
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(text, x509), 1);
    add_pem(certificate, text);
    text = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL), 1);
    add_pem(private, text);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static void no_progress(const SSL *tls, int where, int value)
{
    (void)tls, (void)where, (void)value;
}

/* What h2o does in the server, then what dm_tls_take does. */
static SSL *shake(struct talk *talk, int fd)
{
    SSL *tls = SSL_new(talk->server);
    SSL_set_info_callback(tls, no_progress); /* the context's own is for h2o's sockets */
    SSL_set_fd(tls, fd);
    SSL_set_fd(talk->peer, talk->fd);
    for (int turn = 0; turn < 10; turn++) {
        (void)SSL_connect(talk->peer);
        (void)SSL_accept(tls);
    }
    assert_true(SSL_is_init_finished(talk->peer) && SSL_is_init_finished(tls));
    ERR_clear_error();
    SSL_clear_mode(tls, SSL_MODE_AUTO_RETRY);
    return tls;
}

static void talk_init(struct talk *talk, struct dm_burrow_options options, struct dm_slice early)
{
    struct dm_buf certificate = DM_BUF_INIT, private = DM_BUF_INIT, why = DM_BUF_INIT;
    int ends[2];
    rig_init_with(&talk->rig, options);
    make_pair(&certificate, &private);
    assert_int_equal(
        dm_tls_create(dm_buf_slice(&certificate), dm_buf_slice(&private), &talk->server, &why), 0);
    talk->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(talk->client, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    talk->peer = SSL_new(talk->client);
    rig_pair(ends);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    talk->fd = ends[1];
    SSL *tls = shake(talk, ends[0]);
    talk->sock = dm_burrow_adopt(talk->rig.burrow, ends[0]);
    dm_burrow_speak_tls(talk->rig.burrow, talk->sock, tls);
    dm_burrow_start(talk->rig.burrow, talk->sock, 1, early);
    dm_buf_dispose(&certificate);
    dm_buf_dispose(&private);
}

static const struct dm_burrow_options usual = {1 << 20, 1 << 20, 1000, true};

static void talk_end(struct talk *talk)
{
    SSL_free(talk->peer);
    close(talk->fd);
    rig_run(&talk->rig);
    assert_int_equal(dm_burrow_count(talk->rig.burrow), 0);
    assert_true(ERR_peek_error() == 0);
    rig_dispose(&talk->rig);
    SSL_CTX_free(talk->client);
    dm_tls_release(talk->server);
}

/* One record; frees the buffer. */
static void say(struct talk *talk, struct dm_buf *bytes)
{
    assert_int_equal(SSL_write(talk->peer, bytes->bytes, (int)bytes->len), bytes->len);
    dm_buf_dispose(bytes);
    rig_run(&talk->rig);
}

/* As rig_story, and "notified" where TLS was ended as it should be. */
static char *story(struct talk *talk)
{
    struct dm_buf raw = DM_BUF_INIT, told = DM_BUF_INIT;
    const char *end = NULL;
    while (!end) {
        rig_run(&talk->rig);
        ERR_clear_error();
        int len = SSL_read(talk->peer, dm_buf_reserve(&raw, 65536), 65536);
        if (len > 0)
            raw.len += (size_t)len;
        else if (SSL_get_error(talk->peer, len) == SSL_ERROR_WANT_READ)
            end = rig_is_ready(&talk->rig) ? NULL : "";
        else
            end = SSL_get_error(talk->peer, len) == SSL_ERROR_ZERO_RETURN ? "notified\n" : "cut\n";
    }
    ERR_clear_error();
    rig_tell_frames(&told, dm_buf_slice(&raw));
    dm_buf_printf(&told, "%s", end);
    dm_buf_text(&told);
    dm_buf_dispose(&raw);
    return told.bytes;
}

static void frames_and_records_need_not_meet(void **state)
{
    (void)state;
    struct talk talk;
    struct dm_buf bytes = DM_BUF_INIT, rest = DM_BUF_INIT;
    rig_text(&rest, "early");
    rig_frame(&rest, true, DM_OP_PING, DM_SLICE("p"));
    talk_init(&talk, usual, dm_slice(rest.bytes, rest.len - 2));
    rig_expect(rig_told(&talk.rig), "1 text early\n");
    dm_buf_add(&bytes, rest.bytes + rest.len - 2, 2);
    rig_text(&bytes, "second");
    rig_text(&bytes, "third");
    rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("four"));
    say(&talk, &bytes);
    rig_expect(rig_told(&talk.rig), "1 text second\n1 text third\n");
    rig_expect(story(&talk), "pong p\n");
    rig_frame(&bytes, true, DM_OP_CONTINUATION, DM_SLICE("th"));
    say(&talk, &bytes);
    rig_expect(rig_told(&talk.rig), "1 text fourth\n");
    rig_send(&talk.rig, talk.sock, "answer");
    rig_send(&talk.rig, talk.sock, "another");
    rig_expect(story(&talk), "text answer\ntext another\n");
    dm_buf_dispose(&rest);
    talk_end(&talk);
}

static void held_messages_keep_their_order(void **state)
{
    (void)state;
    struct talk talk;
    struct dm_buf bytes = DM_BUF_INIT;
    talk_init(&talk, usual, DM_NO_SLICE);
    talk.rig.hold = 1;
    rig_text(&bytes, "one");
    rig_text(&bytes, "two");
    say(&talk, &bytes);
    rig_text(&bytes, "three");
    say(&talk, &bytes);
    rig_expect(rig_told(&talk.rig), "1 text one\n");
    dm_burrow_resume(talk.rig.burrow, talk.sock);
    rig_run(&talk.rig);
    rig_expect(rig_told(&talk.rig), "1 text one\n1 text two\n1 text three\n");
    talk_end(&talk);
}

static void new_keys_are_answered_with_new_keys(void **state)
{
    (void)state;
    struct talk talk;
    struct dm_buf bytes = DM_BUF_INIT;
    talk_init(&talk, usual, DM_NO_SLICE);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(SSL_key_update(talk.peer, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(talk.peer), 1);
        rig_text(&bytes, "under them");
        say(&talk, &bytes);
        rig_expect(rig_told(&talk.rig), "1 text under them\n");
        rig_send(&talk.rig, talk.sock, "and back");
        rig_expect(story(&talk), "text and back\n");
    }
    talk_end(&talk);
}

/* Each is answered, and the answers are not read: that must have an end. */
static void asking_for_keys_without_reading_ends(void **state)
{
    (void)state;
    struct talk talk;
    int asked = 0;
    talk_init(&talk, usual, DM_NO_SLICE);
    while (!talk.rig.told.len && asked++ < 20000) {
        (void)SSL_key_update(talk.peer, SSL_KEY_UPDATE_REQUESTED);
        (void)SSL_do_handshake(talk.peer);
        rig_run(&talk.rig);
    }
    ERR_clear_error();
    assert_true(asked > 10);
    rig_expect(rig_told(&talk.rig), "1 end dropped 0\n");
    talk_end(&talk);
}

static int count(const char *text, const char *word)
{
    int found = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        found++;
    return found;
}

/* A record is 16 KiB: many frames, or a part of one. What it has begun must go out to its end. */
static void a_slow_reader_gets_whole_frames_before_4008(void **state)
{
    (void)state;
    static const size_t sizes[] = {61, 3000, 16370, 40000, 200000};
    for (size_t i = 0; i < DM_COUNT(sizes); i++) {
        struct talk talk;
        char *text = dm_calloc(1, sizes[i] + 1), line[32];
        talk_init(&talk, (struct dm_burrow_options){1 << 20, 100000, 1000, true}, DM_NO_SLICE);
        memset(text, 's', sizes[i]);
        for (int turn = 0; !talk.rig.told.len && turn < 10000; turn++) {
            for (int n = 0; n < 50; n++)
                rig_send(&talk.rig, talk.sock, text);
            dm_burrow_flush(talk.rig.burrow);
        }
        rig_expect(rig_told(&talk.rig), "1 end slow 4008\n");
        assert_int_equal(dm_burrow_count(talk.rig.burrow), 1);
        char *got = story(&talk);
        snprintf(line, sizeof line, "text #%zu ", sizes[i]);
        int arrived = count(got, line);
        assert_true(arrived > 0);
        assert_int_equal(count(got, "\n"), arrived + 1);
        assert_non_null(strstr(got, "\nclose 4008\n"));
        assert_int_equal(rig_metric(&talk.rig, DM_METRIC_FRAMES_OUT), arrived + 1);
        free(got);
        free(text);
        talk_end(&talk);
    }
}

/* Reads a little at a time, so that records stand half written again and again. */
static void a_slow_reader_within_bounds_gets_all(void **state)
{
    (void)state;
    struct talk talk;
    char text[9000];
    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    talk_init(&talk, (struct dm_burrow_options){1 << 20, 64 << 20, 1000, true}, DM_NO_SLICE);
    for (int n = 0; n < 200; n++) {
        rig_send(&talk.rig, talk.sock, text);
        rig_send(&talk.rig, talk.sock, "short");
        dm_burrow_flush(talk.rig.burrow);
    }
    assert_true(rig_metric(&talk.rig, DM_METRIC_UNSENT_BYTES) > 1000000);
    char *got = story(&talk);
    assert_int_equal(count(got, "text #8999 "), 200);
    assert_int_equal(count(got, "\ntext short\n"), 200);
    assert_int_equal(rig_metric(&talk.rig, DM_METRIC_UNSENT_BYTES), 0);
    free(got);
    talk_end(&talk);
}

/* Our answer cannot go out: half a record of something else stands before it. */
static void new_keys_behind_a_record_half_written(void **state)
{
    (void)state;
    struct talk talk;
    struct dm_buf bytes = DM_BUF_INIT;
    char text[9000];
    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    talk_init(&talk, (struct dm_burrow_options){1 << 20, 64 << 20, 1000, true}, DM_NO_SLICE);
    for (int n = 0; n < 100; n++)
        rig_send(&talk.rig, talk.sock, text);
    rig_run(&talk.rig);
    assert_int_equal(SSL_key_update(talk.peer, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(talk.peer), 1);
    rig_text(&bytes, "under them");
    say(&talk, &bytes);
    char *got = story(&talk);
    assert_int_equal(count(got, "text #8999 "), 100);
    assert_int_equal(count(got, "\n"), 100);
    free(got);
    rig_expect(rig_told(&talk.rig), "1 text under them\n");
    talk_end(&talk);
}

static void ends_are_told_and_sent(void **state)
{
    (void)state;
    static const char junk[] = "\x17\x03\x03\x00\x14 and this is no record";
    for (int how = 0; how < 5; how++) {
        struct talk talk;
        struct dm_buf bytes = DM_BUF_INIT;
        talk_init(&talk, usual, DM_NO_SLICE);
        if (how == 0) { /* its close_notify, and nothing of TCP */
            assert_int_equal(SSL_shutdown(talk.peer), 0);
        } else if (how == 1) {
            shutdown(talk.fd, SHUT_WR);
        } else if (how == 2) {
            assert_int_equal(send(talk.fd, junk, sizeof junk, 0), sizeof junk);
        } else if (how == 3) { /* data, then the end at once */
            rig_text(&bytes, "last");
            assert_true(SSL_write(talk.peer, bytes.bytes, (int)bytes.len) > 0);
            assert_int_equal(SSL_shutdown(talk.peer), 0);
            dm_buf_dispose(&bytes);
        } else {
            dm_burrow_close(talk.rig.burrow, talk.sock, 1000, DM_SLICE("done"));
            rig_expect(story(&talk), "close 1000done\n");
            rig_close_frame(&bytes, 1000, "");
            say(&talk, &bytes);
            assert_int_equal(dm_burrow_count(talk.rig.burrow), 1);
        }
        rig_run(&talk.rig);
        rig_expect(rig_told(&talk.rig), how == 4   ? ""
                                        : how == 3 ? "1 text last\n1 end dropped 0\n"
                                                   : "1 end dropped 0\n");
        char *got = story(&talk);
        assert_string_equal(got, how == 1 || how == 2 ? "cut\n" : "notified\n");
        free(got);
        talk_end(&talk);
    }
}

static void bare_and_tls_sockets_live_side_by_side(void **state)
{
    (void)state;
    struct talk talk;
    struct dm_buf bytes = DM_BUF_INIT;
    int bare[100];
    talk_init(&talk, usual, DM_NO_SLICE);
    for (uint32_t i = 0; i < DM_COUNT(bare); i++) /* past where the table of TLS ends */
        assert_int_equal(rig_open(&talk.rig, 2 + i, &bare[i]), talk.sock + 1 + i);
    rig_text(&bytes, "bare");
    assert_true(rig_push_buf(&talk.rig, bare[99], &bytes));
    rig_text(&bytes, "secure");
    say(&talk, &bytes);
    rig_expect(rig_told(&talk.rig), "101 text bare\n1 text secure\n");
    dm_burrow_ping_all(talk.rig.burrow);
    rig_expect(rig_story(&talk.rig, bare[99]), "ping\n");
    rig_expect(story(&talk), "ping\n");
    for (uint32_t i = 0; i < DM_COUNT(bare); i++)
        close(bare[i]);
    talk_end(&talk);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does: OpenSSL writes without MSG_NOSIGNAL */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_and_records_need_not_meet),
        cmocka_unit_test(held_messages_keep_their_order),
        cmocka_unit_test(new_keys_are_answered_with_new_keys),
        cmocka_unit_test(asking_for_keys_without_reading_ends),
        cmocka_unit_test(a_slow_reader_gets_whole_frames_before_4008),
        cmocka_unit_test(a_slow_reader_within_bounds_gets_all),
        cmocka_unit_test(new_keys_behind_a_record_half_written),
        cmocka_unit_test(ends_are_told_and_sent),
        cmocka_unit_test(bare_and_tls_sockets_live_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
