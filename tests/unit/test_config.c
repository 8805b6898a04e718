/* The configuration: values, bounds, the three layers, and errors that name the place and never
 * a secret. Files are real ones in a directory of their own. */
#include "lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/config.h"
#include "cmd/config_key.h"

#define SECRET "correct-horse-battery-staple-0123456789"

static char dir[] = "/tmp/dormouse-config-XXXXXX";

/* Writes a file in the test's directory, which becomes the working directory. */
static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(name, 0600);
}

struct loaded {
    struct dm_config config;
    struct dm_buf why;
    int err;
};

#define LOAD(loaded, env, ...)                                                                     \
    do {                                                                                           \
        static char *flags_[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                                 \
        load(loaded, (int)DM_COUNT(flags_) - 1, flags_, env);                                      \
    } while (0)

static char *no_env[] = {NULL};

static void load(struct loaded *loaded, int argc, char **argv, char **env)
{
    loaded->why = DM_BUF_INIT;
    loaded->err = dm_config_load(&loaded->config, argc, argv, env, &loaded->why);
    if (loaded->err)
        assert_true(loaded->why.len > 0);
    else
        assert_int_equal(loaded->why.len, 0);
}

static void dispose(struct loaded *loaded)
{
    dm_config_dispose(&loaded->config);
    dm_buf_dispose(&loaded->why);
}

/* Loads `yaml` from dormouse.yaml and expects exactly this error, or none where it is NULL. */
static void expect_yaml(const char *yaml, const char *error)
{
    static char *argv[] = {"--config", "dormouse.yaml"};
    struct loaded loaded;
    write_file("dormouse.yaml", yaml);
    load(&loaded, 2, argv, no_env);
    assert_string_equal(dm_buf_text(&loaded.why), error ? error : "");
    assert_int_equal(loaded.err, error ? DM_ERR_INVALID_FIELD : DM_OK);
    dispose(&loaded);
}

static void expect_flag(char *flag, const char *error)
{
    struct loaded loaded;
    load(&loaded, 1, &flag, no_env);
    assert_string_equal(dm_buf_text(&loaded.why), error ? error : "");
    dispose(&loaded);
}

static void expect_variable(char *variable, const char *error)
{
    char *env[] = {"HOME=/", variable, NULL};
    struct loaded loaded;
    load(&loaded, 0, NULL, env);
    assert_string_equal(dm_buf_text(&loaded.why), error ? error : "");
    dispose(&loaded);
}

static void durations_and_sizes_have_units(void **state)
{
    (void)state;
    uint64_t value;
    struct dm_buf text = DM_BUF_INIT;
    const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0}, {"500ms", 500}, {"10s", 10000}, {"2m", 120000}, {"1h", 3600000}};
    for (size_t i = 0; i < DM_COUNT(good); i++) {
        assert_true(dm_duration_read(dm_slice_of(good[i].text), &value));
        assert_int_equal(value, good[i].ms);
        dm_buf_clear(&text);
        dm_duration_write(value, &text);
        assert_string_equal(dm_buf_text(&text), good[i].text);
    }
    const char *bad[] = {"",
                         "10",
                         "s",
                         "-1s",
                         "1.5s",
                         "1 s",
                         "1S",
                         "1d",
                         " 1s",
                         "1s ",
                         "+1s",
                         "0x1s",
                         "99999999999999999999s",
                         "999999999999999999h"};
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        assert_false(dm_duration_read(dm_slice_of(bad[i]), &value));
    assert_true(dm_size_read(DM_SLICE("64KiB"), &value) && value == 65536);
    assert_true(dm_size_read(DM_SLICE("1MiB"), &value) && value == 1048576);
    assert_true(dm_size_read(DM_SLICE("2GiB"), &value) && value == 2147483648u);
    assert_true(dm_size_read(DM_SLICE("1000"), &value) && value == 1000);
    const char *bad_sizes[] = {"", "1KB", "1kib", "MiB", "-1", "1e6", "999999999999999999GiB"};
    for (size_t i = 0; i < DM_COUNT(bad_sizes); i++)
        assert_false(dm_size_read(dm_slice_of(bad_sizes[i]), &value));
    dm_buf_dispose(&text);
}

static void defaults_are_the_tables(void **state)
{
    (void)state;
    struct loaded loaded;
    load(&loaded, 0, NULL, no_env);
    const struct dm_config *config = &loaded.config;
    assert_int_equal(loaded.err, DM_OK);
    assert_string_equal(config->listen, "127.0.0.1:8080");
    assert_string_equal(config->database, "dormouse.db");
    assert_int_equal(config->durability, DM_DURABILITY_FULL);
    assert_int_equal(config->shards, 0);
    assert_int_equal(config->jwt_secret.count, 0);
    assert_false(config->open_publish);
    assert_int_equal(config->hibernate_after, 10000);
    assert_int_equal(config->max_awake, 100000);
    assert_int_equal(config->metrics, DM_METRICS_LOCAL);
    assert_int_equal(config->log_level, DM_LOG_INFO);
    assert_int_equal(config->log_format, DM_LOG_LOGFMT);
    struct dm_limits limits = dm_config_limits(config);
    assert_int_equal(limits.max_message, 1048576);
    assert_int_equal(limits.max_header, 16384);
    assert_int_equal(limits.max_connections_per_user, 100);
    dispose(&loaded);
}

static void a_file_sets_every_kind_of_value(void **state)
{
    (void)state;
    struct loaded loaded;
    write_file("dormouse.yaml", "# a comment\n"
                                "listen: unix:/run/dormouse.sock\n"
                                "durability: process\n"
                                "shards: 4\n"
                                "open_publish: true\n"
                                "hibernate_after: \"2m\"\n"
                                "max_message: 64KiB\n"
                                "log_level: error\n"
                                "cors_origins: [https://a.example, 'http://localhost:3000']\n"
                                "jwt_secret:\n"
                                "  - " SECRET "\n"
                                "  - \"" SECRET ",#2\"\n"
                                "api_keys: ci=" SECRET "\n");
    LOAD(&loaded, no_env, "--config=dormouse.yaml");
    const struct dm_config *config = &loaded.config;
    assert_string_equal(dm_buf_text(&loaded.why), "");
    assert_string_equal(config->listen, "unix:/run/dormouse.sock");
    assert_int_equal(config->durability, DM_DURABILITY_PROCESS);
    assert_int_equal(config->shards, 4);
    assert_true(config->open_publish);
    assert_int_equal(config->hibernate_after, 120000);
    assert_int_equal(config->max_message, 65536);
    assert_int_equal(config->log_level, DM_LOG_ERROR);
    assert_int_equal(config->cors_origins.count, 2);
    assert_string_equal(config->cors_origins.all[1], "http://localhost:3000");
    assert_int_equal(config->jwt_secret.count, 2);
    assert_string_equal(config->jwt_secret.all[1], SECRET ",#2");
    assert_int_equal(config->api_keys.count, 1);
    assert_string_equal(config->origin[DM_CONFIG_ID_shards], "dormouse.yaml:4");
    assert_int_equal(config->warnings.len, 0);
    dispose(&loaded);
}

static void an_empty_file_is_a_file(void **state)
{
    (void)state;
    expect_yaml("", NULL);
    expect_yaml("# nothing\n", NULL);
    expect_yaml("---\n", NULL);
    expect_yaml("{}\n", NULL);
}

static void yaml_errors_name_file_and_line(void **state)
{
    (void)state;
    expect_yaml("shards: 1\n\nhibernate_after: soon\n",
                "dormouse.yaml:3: hibernate_after: must be a duration (500ms, 10s, 2m, 1h) from "
                "10ms to 24h, not \"soon\"");
    expect_yaml("hibernate_after: 25h\n",
                "dormouse.yaml:1: hibernate_after: must be a duration (500ms, 10s, 2m, 1h) from "
                "10ms to 24h, not \"25h\"");
    expect_yaml("shards: 65\n",
                "dormouse.yaml:1: shards: must be a whole number from 0 to 64, not \"65\"");
    expect_yaml("shards: 18446744073709551617\n", "dormouse.yaml:1: shards: must be a whole number "
                                                  "from 0 to 64, not \"18446744073709551617\"");
    expect_yaml("max_message: 1GiB\n",
                "dormouse.yaml:1: max_message: must be a size (bytes, 64KiB, "
                "1MiB) from 128 to 64MiB, not \"1GiB\"");
    expect_yaml("durability: none\n",
                "dormouse.yaml:1: durability: must be one of full|process, not \"none\"");
    expect_yaml("open_publish: yes\n",
                "dormouse.yaml:1: open_publish: must be true or false, not \"yes\"");
    expect_yaml("listen: 8080\n",
                "dormouse.yaml:1: listen: must be host:port or unix:/path, not \"8080\"");
    expect_yaml("database: ''\n", "dormouse.yaml:1: database: must be a path, not \"\"");
    expect_yaml("trusted_proxies: [10.0.0.0/8, unix, 'fd00::/8']\n", NULL);
    expect_yaml("trusted_proxies: [localhost]\n",
                "dormouse.yaml:1: trusted_proxies: must hold addresses, networks (10.0.0.0/8, "
                "fd00::/8), or unix, not \"localhost\"");
    expect_yaml("rate_messages: 1000001\n",
                "dormouse.yaml:1: rate_messages: must be a whole number "
                "from 0 to 1000000, not \"1000001\"");
    expect_yaml("cors_origins: ['*']\n",
                "dormouse.yaml:1: cors_origins: must hold origins (https://app.example.com), in "
                "lower case, no path, not \"*\"");
    expect_yaml("shards:\n", "dormouse.yaml:1: shards: has no value");
    expect_yaml("jwt_secret: [~]\n", "dormouse.yaml:1: jwt_secret: has no value");
    expect_yaml("shards: [1]\n", "dormouse.yaml:1: shards: takes one value, not a list");
    expect_yaml("shards: {a: 1}\n",
                "dormouse.yaml:1: shards: takes a value or a list, not a mapping");
    expect_yaml("database: \"a\\0b\"\n", "dormouse.yaml:1: database: holds a NUL character");
    expect_yaml("cors_origins: [[a]]\n", "dormouse.yaml:1: a list holds plain values only");
    expect_yaml("\nshards: 1\nshards: 2\n", "dormouse.yaml:3: shards: shards is given twice");
}

static void yaml_that_is_no_plain_mapping_is_refused(void **state)
{
    (void)state;
    expect_yaml("- a\n",
                "dormouse.yaml:1: the file must be a mapping, a `key: value` on each line");
    expect_yaml("word\n",
                "dormouse.yaml:1: the file must be a mapping, a `key: value` on each line");
    expect_yaml("? [a]\n: 1\n", "dormouse.yaml:1: a key must be a word");
    expect_yaml("shards: 1\n---\nshards: 2\n",
                "dormouse.yaml:2: the file must be one YAML document");
    expect_yaml("\nshards: &a 1\n",
                "dormouse.yaml:2: anchors, aliases and tags are not known here");
    expect_yaml("shards: *a\n", "dormouse.yaml:1: anchors, aliases and tags are not known here");
    expect_yaml("shards: !!int 1\n",
                "dormouse.yaml:1: anchors, aliases and tags are not known here");
    expect_yaml("\n\nshards: [1\n", "dormouse.yaml:4: did not find expected ',' or ']'");
    expect_yaml("\n\n\tshards: 1\n",
                "dormouse.yaml:3: found character that cannot start any token");
    expect_yaml("shards: 1\ndatabase: \xff\n", "dormouse.yaml:2: invalid leading UTF-8 octet");
}

static void unknown_names_are_errors(void **state)
{
    (void)state;
    expect_yaml("shards: 1\nhibernate_afer: 10s\n",
                "dormouse.yaml:2: \"hibernate_afer\": no such configuration key (is it "
                "hibernate_after?)");
    expect_yaml("quite_unknown: []\n",
                "dormouse.yaml:1: \"quite_unknown\": no such configuration key");
    expect_yaml("shards_file: x\n", "dormouse.yaml:1: \"shards_file\": no such configuration key");
    expect_flag("--max-awoke=1", "--max-awoke: no such configuration key (is it max_awake?)");
    expect_flag("--max_awake=1", "--max_awake: no such configuration key (is it max_awake?)");
    expect_flag("--zzz", "--zzz: no such configuration key");
    expect_flag("stray", "argument 1 is not expected: flags begin with --");
    expect_variable("DORMOUSE_SHARD=1",
                    "DORMOUSE_SHARD: no such configuration key (is it shards?)");
    expect_variable("DORMOUSE_shards=1", "DORMOUSE_shards: no such configuration key");
    expect_variable("DORMOUSE_=1", "DORMOUSE_: no such configuration key");
    expect_variable("DORMOUSES_HOME=/", NULL);
}

static void flags_go_over_variables_over_the_file(void **state)
{
    (void)state;
    struct loaded loaded;
    char *env[] = {"DORMOUSE_CONFIG=dormouse.yaml", "DORMOUSE_SHARDS=2", "DORMOUSE_MAX_AWAKE=20",
                   "DORMOUSE_CORS_ORIGINS=https://a.example, https://b.example", NULL};
    write_file("dormouse.yaml", "shards: 1\nmax_awake: 10\nmax_targets: 5\n"
                                "cors_origins: [https://c.example]\n");
    LOAD(&loaded, env, "--shards", "3", "--open-publish");
    assert_string_equal(dm_buf_text(&loaded.why), "");
    assert_int_equal(loaded.config.shards, 3);
    assert_int_equal(loaded.config.max_awake, 20);
    assert_int_equal(loaded.config.max_targets, 5);
    assert_true(loaded.config.open_publish);
    assert_int_equal(loaded.config.cors_origins.count, 2); /* replaced, not joined */
    assert_string_equal(loaded.config.cors_origins.all[1], "https://b.example");
    assert_string_equal(loaded.config.origin[DM_CONFIG_ID_shards], "--shards");
    assert_string_equal(loaded.config.origin[DM_CONFIG_ID_max_awake], "DORMOUSE_MAX_AWAKE");
    dispose(&loaded);
    write_file("other.yaml", "shards: 7\n");
    LOAD(&loaded, env, "--config", "other.yaml"); /* the flag's file over the variable's */
    assert_int_equal(loaded.config.shards, 2);
    assert_int_equal(loaded.config.max_targets, 10000);
    dispose(&loaded);
}

static void flags_are_checked(void **state)
{
    (void)state;
    struct loaded loaded;
    expect_flag("--shards", "--shards: needs a value");
    expect_flag("--shards=x", "--shards: must be a whole number from 0 to 64, not \"x\"");
    expect_flag("--max-awake=0",
                "--max-awake: must be a whole number from 1 to 100000000, not \"0\"");
    expect_flag("--open-publish=false", NULL);
    expect_flag("--open-publish=1", "--open-publish: must be true or false, not \"1\"");
    expect_flag("--config", "--config: needs a value");
    expect_flag("--config=absent.yaml", "cannot open absent.yaml: No such file or directory");
    expect_flag("--config=.", "cannot read .: Is a directory");
    LOAD(&loaded, no_env, "--shards", "1", "--shards", "2");
    assert_string_equal(dm_buf_text(&loaded.why), "--shards: shards is given twice");
    dispose(&loaded);
    LOAD(&loaded, no_env, "--shards", "--open-publish");
    assert_string_equal(dm_buf_text(&loaded.why), "--shards: needs a value");
    dispose(&loaded);
    expect_variable("DORMOUSE_SHARDS=x",
                    "DORMOUSE_SHARDS: must be a whole number from 0 to 64, not \"x\"");
    expect_variable("DORMOUSE_CORS_ORIGINS=https://a,,https://b",
                    "DORMOUSE_CORS_ORIGINS: has an empty entry");
    expect_variable("DORMOUSE_CORS_ORIGINS=", NULL);
}

static void addresses_and_origins(void **state)
{
    (void)state;
    const char *addresses[] = {"--listen=0.0.0.0:80", "--listen=[::1]:0", "--listen=localhost:8080",
                               "--listen=unix:/a"};
    for (size_t i = 0; i < DM_COUNT(addresses); i++)
        expect_flag((char *)(uintptr_t)addresses[i], NULL);
    const char *bad[] = {"--listen=:80",
                         "--listen=::1:80",
                         "--listen=a:65536",
                         "--listen=a:",
                         "--listen=unix:a",
                         "--listen=unix:/",
                         "--listen=a:-1",
                         "--listen=a:8o",
                         "--cors-origins=a",
                         "--cors-origins=://a",
                         "--cors-origins=https://",
                         "--cors-origins=https://a/",
                         "--cors-origins=https://A.example",
                         "--cors-origins=https://*.example",
                         "--cors-origins=null"};
    for (size_t i = 0; i < DM_COUNT(bad); i++) {
        struct loaded loaded;
        char *flag = (char *)(uintptr_t)bad[i];
        load(&loaded, 1, &flag, no_env);
        assert_int_equal(loaded.err, DM_ERR_BAD_REQUEST);
        dispose(&loaded);
    }
}

static void secrets_come_from_files_too(void **state)
{
    (void)state;
    struct loaded loaded;
    write_file("secret", "# the current one\n\n  " SECRET "-new \r\n" SECRET "-old\n");
    write_file("keys", "ci=" SECRET "\n");
    write_file("dormouse.yaml", "jwt_secret_file: secret\n");
    char *env[] = {"DORMOUSE_CONFIG=dormouse.yaml", "DORMOUSE_API_KEYS_FILE=keys", NULL};
    load(&loaded, 0, NULL, env);
    assert_string_equal(dm_buf_text(&loaded.why), "");
    assert_int_equal(loaded.config.jwt_secret.count, 2);
    assert_string_equal(loaded.config.jwt_secret.all[0], SECRET "-new");
    assert_string_equal(loaded.config.jwt_secret.all[1], SECRET "-old");
    assert_string_equal(loaded.config.api_keys.all[0], "ci=" SECRET);
    assert_int_equal(loaded.config.warnings.len, 0);
    dispose(&loaded);

    chmod("secret", 0644);
    LOAD(&loaded, no_env, "--jwt-secret-file", "secret");
    assert_int_equal(loaded.err, DM_OK);
    assert_string_equal(dm_buf_text(&loaded.config.warnings),
                        "--jwt-secret-file: every user of this machine may read secret\n");
    dispose(&loaded);

    write_file("empty", "\n# nothing\n");
    expect_flag("--jwt-secret-file=empty", "--jwt-secret-file: empty holds no secret");
    expect_flag("--jwt-secret-file=none",
                "--jwt-secret-file: cannot open none: No such file or directory");
    expect_yaml("api_keys_file: [a]\n",
                "dormouse.yaml:1: api_keys_file: takes one value, not a list");
    expect_yaml("jwt_secret: " SECRET "\njwt_secret_file: secret\n",
                "dormouse.yaml:2: jwt_secret_file: jwt_secret is given twice");
}

static void a_readable_file_with_secrets_is_warned_of(void **state)
{
    (void)state;
    struct loaded loaded;
    write_file("dormouse.yaml", "jwt_secret: " SECRET "\n");
    chmod("dormouse.yaml", 0644);
    LOAD(&loaded, no_env, "--config", "dormouse.yaml");
    assert_string_equal(
        dm_buf_text(&loaded.config.warnings),
        "dormouse.yaml: it holds secrets, and every user of this machine may read it\n");
    dispose(&loaded);
}

static void secrets_never_show(void **state)
{
    (void)state;
    struct loaded loaded;
    expect_flag("--jwt-secret=" SECRET,
                "--jwt-secret: a secret is no flag, where other users could see it: put "
                "jwt_secret into the file, DORMOUSE_JWT_SECRET into the environment, or its path "
                "into jwt_secret_file");
    LOAD(&loaded, no_env, "--api-keys", "ci=" SECRET);
    assert_null(strstr(dm_buf_text(&loaded.why), SECRET));
    dispose(&loaded);
    LOAD(&loaded, no_env, SECRET);
    assert_null(strstr(dm_buf_text(&loaded.why), SECRET));
    dispose(&loaded);
    expect_yaml("jwt_secret: {a: " SECRET "}\n",
                "dormouse.yaml:1: jwt_secret: takes a value or a list, not a mapping");
    expect_yaml("jwt_secret: " SECRET "\njwt_secret: " SECRET "\n",
                "dormouse.yaml:2: jwt_secret: jwt_secret is given twice");
    char *env[] = {"DORMOUSE_JWT_SECRET=" SECRET, "DORMOUSE_API_KEYS=a=" SECRET ",b=1" SECRET,
                   NULL};
    load(&loaded, 0, NULL, env);
    assert_int_equal(loaded.config.api_keys.count, 2);
    struct dm_buf out = DM_BUF_INIT;
    dm_config_print(&loaded.config, &out);
    assert_null(strstr(dm_buf_text(&out), SECRET));
    assert_non_null(strstr(dm_buf_text(&out), "jwt_secret: (set)"));
    assert_non_null(strstr(dm_buf_text(&out), "# DORMOUSE_API_KEYS\n"));
    dm_buf_dispose(&out);
    dispose(&loaded);
}

static void it_can_be_printed(void **state)
{
    (void)state;
    struct loaded loaded;
    struct dm_buf out = DM_BUF_INIT;
    LOAD(&loaded, no_env, "--max-body", "2097152", "--cors-origins=https://a,https://b");
    dm_config_print(&loaded.config, &out);
    const char *text = dm_buf_text(&out);
    assert_non_null(strstr(text, "listen: 127.0.0.1:8080                       # default\n"));
    assert_non_null(strstr(text, "max_body: 2MiB                               # --max-body\n"));
    assert_non_null(strstr(text, "cors_origins: [https://a, https://b]"));
    assert_non_null(strstr(text, "jwt_secret: (not set)"));
    assert_non_null(strstr(text, "durability: full "));
    assert_non_null(strstr(text, "ping_interval: 0 "));
    dm_buf_clear(&out);
    dm_config_markdown(&out);
    assert_non_null(strstr(dm_buf_text(&out), "| `hibernate_after` | `10s` | An object"));
    dm_buf_clear(&out);
    dm_config_help(&out);
    assert_non_null(strstr(dm_buf_text(&out), "  --hibernate-after TIME\n"));
    assert_non_null(strstr(dm_buf_text(&out), "  --jwt-secret-file PATH\n"));
    assert_null(strstr(dm_buf_text(&out), "--jwt-secret "));
    dm_buf_dispose(&out);
    dispose(&loaded);
}

static int enter_directory(void **state)
{
    (void)state;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave_directory(void **state)
{
    (void)state;
    const char *names[] = {"dormouse.yaml", "other.yaml", "secret", "keys", "empty"};
    for (size_t i = 0; i < DM_COUNT(names); i++)
        unlink(names[i]);
    return chdir("/") == 0 ? rmdir(dir) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(defaults_are_the_tables),
        cmocka_unit_test(a_file_sets_every_kind_of_value),
        cmocka_unit_test(an_empty_file_is_a_file),
        cmocka_unit_test(yaml_errors_name_file_and_line),
        cmocka_unit_test(yaml_that_is_no_plain_mapping_is_refused),
        cmocka_unit_test(unknown_names_are_errors),
        cmocka_unit_test(flags_go_over_variables_over_the_file),
        cmocka_unit_test(flags_are_checked),
        cmocka_unit_test(addresses_and_origins),
        cmocka_unit_test(secrets_come_from_files_too),
        cmocka_unit_test(a_readable_file_with_secrets_is_warned_of),
        cmocka_unit_test(secrets_never_show),
        cmocka_unit_test(it_can_be_printed),
    };
    return cmocka_run_group_tests(tests, enter_directory, leave_directory) == 0 ? 0 : 1;
}
