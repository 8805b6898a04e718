/* Sessions: from when to when each was there, and which filters it had when. */
#include "model.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"

void model_dispose(struct world *world)
{
    struct model *model = &world->model;
    for (uint32_t i = 0; i < model->session_count; i++)
        free(model->sessions[i].commands);
    for (uint32_t i = 0; i < model->publish_count; i++) {
        free(model->publishes[i]->receipts);
        free(model->publishes[i]);
    }
    free(model->sessions);
    free(model->publishes);
}

uint32_t model_session_opened(struct world *world, uint32_t user)
{
    struct model *model = &world->model;
    if (model->session_count == 0)
        model->session_count = 1; /* 0 is nobody */
    uint32_t session = model->session_count++;
    model->sessions = dm_realloc(model->sessions, (session + 1) * sizeof *model->sessions);
    if (session == 1)
        model->sessions[0] = (struct m_session){.user = USERS_MAX, .opened = 1, .closed = 1};
    model->sessions[session] = (struct m_session){.user = user, .opened = ++world->seq};
    model->users[user].granted--;
    model->users[user].open++;
    model_user_changed(world, user);
    return session;
}

void model_session_closed(struct world *world, uint32_t number)
{
    struct m_session *session = &world->model.sessions[number];
    if (session->closed)
        sim_fail(world, "session %u is closed twice", number);
    session->closed = ++world->seq;
    world->model.users[session->user].open--;
    model_user_changed(world, session->user);
}

/* --- filters --- */

/* Stops at the most that a session may have. */
uint32_t model_filter_add(const struct world *world, uint32_t filters, uint32_t filter)
{
    uint32_t count = (uint32_t)__builtin_popcount(filters);
    return count < world->plan.max_filters ? filters | 1u << filter : filters;
}

uint32_t model_filters_asked(const struct world *world, uint32_t number)
{
    const struct m_session *session = &world->model.sessions[number];
    return session->command_count ? session->commands[session->command_count - 1].after : 0;
}

uint32_t model_command_sent(struct world *world, uint32_t number, uint32_t after)
{
    struct m_session *session = &world->model.sessions[number];
    session->commands =
        dm_realloc(session->commands, (session->command_count + 1) * sizeof *session->commands);
    session->commands[session->command_count] =
        (struct command){.sent = ++world->seq, .after = after};
    return session->command_count++;
}

void model_command_taken(struct world *world, uint32_t number, uint32_t command)
{
    struct m_session *session = &world->model.sessions[number];
    if (session->commands[command].taken || (command && !session->commands[command - 1].taken))
        sim_fail(world, "session %u: command %u is taken out of turn", number, command);
    session->commands[command].taken = ++world->seq;
}

/* --- does an envelope reach a session? --- */

/* Rooms: none, "a", "b", "1". Payloads, as model_payload has them. */
static bool matches(uint32_t filters, uint32_t type, uint32_t payload)
{
    static const uint32_t room_of[PAYLOADS] = {0, 1, 2, 0, 0, 0, 1};
    uint32_t without_room = 1u << (type * ROOMS);
    if (filters & without_room)
        return true;
    uint32_t room = room_of[payload];
    return room && (filters & 1u << (type * ROOMS + room));
}

/* Over all the filters that the session may have had while the publish was under way. */
enum verdict model_takes(const struct world *world, uint32_t number,
                         const struct m_publish *publish)
{
    const struct m_session *session = &world->model.sessions[number];
    if (session->closed && session->closed < publish->began)
        return MUST_NOT;
    uint32_t filters = 0, yes = 0, no = 0, i = 0;
    while (i < session->command_count && session->commands[i].taken &&
           session->commands[i].taken < publish->began)
        filters = session->commands[i++].after;
    for (;;) {
        if (matches(filters, publish->type, publish->payload))
            yes++;
        else
            no++;
        if (i == session->command_count)
            break;
        filters = session->commands[i++].after;
    }
    if (!yes)
        return MUST_NOT;
    bool there = session->opened < publish->began && !session->closed;
    return no || !there ? MAY : MUST;
}
