/* The YAML file, read event by event so that every error can name its line: one mapping of keys to
 * scalars and lists of scalars. Anchors, aliases and tags are refused. */
#include <yaml.h>

#include "cmd/config_load.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct dm_config_layer *layer;
    const char *name;
    struct dm_slice text;
};

static bool fail_at(struct reader *reader, size_t line, const char *problem)
{
    dm_buf_printf(reader->layer->why, "%s:%zu: %s", reader->name, line, problem);
    return false;
}

static size_t line_of(const struct reader *reader)
{
    return reader->event.start_mark.line + 1;
}

static bool fail_here(struct reader *reader, const char *problem)
{
    return fail_at(reader, line_of(reader), problem);
}

/* libyaml's own messages are fixed texts: they show nothing of the file. */
static bool fail_parser(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    size_t line = parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < reader->text.len; i++)
            line += reader->text.at[i] == '\n';
    }
    return fail_at(reader, line, parser->problem ? parser->problem : "not YAML");
}

static bool is_decorated(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

static void forget_event(struct reader *reader)
{
    if (reader->event.type == YAML_SCALAR_EVENT)
        explicit_bzero(reader->event.data.scalar.value, reader->event.data.scalar.length);
    yaml_event_delete(&reader->event);
}

static bool next(struct reader *reader)
{
    forget_event(reader);
    if (!yaml_parser_parse(&reader->parser, &reader->event))
        return fail_parser(reader);
    if (is_decorated(&reader->event))
        return fail_here(reader, "anchors, aliases and tags are not known here");
    return true;
}

static struct dm_slice scalar(const struct reader *reader)
{
    return dm_slice((const char *)reader->event.data.scalar.value,
                    reader->event.data.scalar.length);
}

/* `key:` with nothing behind it, or with YAML's ways to write null. */
static bool is_null(const struct reader *reader)
{
    struct dm_slice text = scalar(reader);
    return reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!text.len || dm_slice_eq(text, DM_SLICE("~")) || dm_slice_eq(text, DM_SLICE("null")));
}

static bool take_item(struct reader *reader, const char *where, struct dm_strings *values)
{
    struct dm_slice text = scalar(reader);
    if (is_null(reader))
        return dm_config_fail(reader->layer->why, where, "has no value");
    if (text.len && memchr(text.at, 0, text.len))
        return dm_config_fail(reader->layer->why, where, "holds a NUL character");
    dm_strings_add(values, text);
    return true;
}

static bool take_list(struct reader *reader, const char *where, struct dm_strings *values)
{
    while (next(reader)) {
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return fail_here(reader, "a list holds plain values only");
        if (!take_item(reader, where, values))
            return false;
    }
    return false;
}

static bool take_value(struct reader *reader, const char *where, struct dm_strings *values,
                       bool *is_list)
{
    if (!next(reader))
        return false;
    *is_list = reader->event.type == YAML_SEQUENCE_START_EVENT;
    if (*is_list)
        return take_list(reader, where, values);
    if (reader->event.type == YAML_SCALAR_EVENT)
        return take_item(reader, where, values);
    return dm_config_fail(reader->layer->why, where, "takes a value or a list, not a mapping");
}

static bool take_pair(struct reader *reader)
{
    if (reader->event.type != YAML_SCALAR_EVENT)
        return fail_here(reader, "a key must be a word");
    struct dm_buf origin = DM_BUF_INIT, where = DM_BUF_INIT;
    struct dm_strings values = {NULL, 0};
    struct dm_config_name found = dm_config_find(scalar(reader));
    bool is_list = false, ok;
    dm_buf_printf(&origin, "%s:%zu", reader->name, line_of(reader));
    dm_buf_printf(&where, "%s: ", dm_buf_text(&origin));
    if (found.key) {
        dm_buf_printf(&where, "%s%s", found.key->name, found.file ? "_file" : "");
        struct dm_config_place place = {dm_buf_text(&where), dm_buf_text(&origin)};
        ok = take_value(reader, place.where, &values, &is_list) &&
             dm_config_put(reader->layer, found, place, &values, is_list);
    } else {
        dm_config_quote(scalar(reader), &where);
        ok = dm_config_unknown(reader->layer->why, dm_buf_text(&where), scalar(reader));
    }
    dm_strings_wipe(&values);
    dm_buf_dispose(&origin);
    dm_buf_dispose(&where);
    return ok;
}

static bool take_mapping(struct reader *reader)
{
    if (reader->event.type == YAML_SCALAR_EVENT && is_null(reader))
        return true;
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return fail_here(reader, "the file must be a mapping, a `key: value` on each line");
    while (next(reader)) {
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (!take_pair(reader))
            return false;
    }
    return false;
}

static bool take_stream(struct reader *reader)
{
    if (!next(reader) || !next(reader)) /* the stream's start, then a document's */
        return false;
    if (reader->event.type == YAML_STREAM_END_EVENT)
        return true;
    if (!next(reader) || !take_mapping(reader) || !next(reader) || !next(reader))
        return false;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return fail_here(reader, "the file must be one YAML document");
    return true;
}

bool dm_config_from_yaml(struct dm_config_layer *layer, const char *name, struct dm_slice text)
{
    struct reader reader = {.layer = layer, .name = name, .text = text};
    DM_CHECK(yaml_parser_initialize(&reader.parser));
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.at ? text.at : ""),
                                 text.len);
    bool ok = take_stream(&reader);
    forget_event(&reader);
    yaml_parser_delete(&reader.parser);
    return ok;
}
