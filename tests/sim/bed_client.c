/* Clients of the bed, up to the frames that they say and hear: they connect, resume and leave. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "bed.h"

struct bed_asked {
    struct dm_admission admission;
    struct bed_asked *next;
    struct bed_client *client;
};

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    struct bed_asked *asked = DM_CONTAINER(admission, struct bed_asked, admission);
    struct bed *bed = asked->client->bed;
    (void)here;
    bed->open_calls--;
    if (admission->err) {
        asked->client->asking = false;
        free(asked);
        return;
    }
    asked->next = bed->granted;
    bed->granted = asked;
}

/* Here a secret is its own hash, the last byte first. */
static void hash(const char secret[DM_RESUME_SECRET_LEN], unsigned char *out)
{
    for (uint32_t i = 0; i < DM_RESUME_SECRET_LEN; i++)
        out[i] = (unsigned char)secret[DM_RESUME_SECRET_LEN - 1 - i];
}

static void fill(struct dm_admission *admission, struct bed_client *client)
{
    char secret[DM_RESUME_SECRET_LEN + 1];
    struct dm_slice user = dm_slice_of(client->user), channel = dm_slice_of(client->channel);
    admission->dialect = client->dialect;
    admission->user_len = (uint8_t)user.len;
    memcpy(admission->user_id, user.at, user.len);
    if (dm_dialect_of(client->dialect)->listens) {
        admission->channel_len = (uint8_t)channel.len;
        memcpy(admission->channel, channel.at, channel.len);
    }
    admission->done = admitted;
    snprintf(secret, sizeof secret, "secret-%025" PRIu64, ++client->bed->secrets_made);
    memcpy(admission->next_secret, secret, DM_RESUME_SECRET_LEN);
    hash(secret, admission->next_resume);
    admission->resuming = dm_dialect_of(client->dialect)->resumes && client->has_secret;
    if (admission->resuming)
        hash(client->secret, admission->resume);
}

void bed_connect(struct bed_client *client)
{
    struct bed *bed = client->bed;
    if (client->asking || client->sock)
        return;
    struct bed_asked *asked = DM_NEW(struct bed_asked);
    asked->client = client;
    fill(&asked->admission, client);
    client->asking = true;
    bed->open_calls++;
    bed_trace(bed, "client %u of %s asks", client->number, client->user);
    dm_session_admit(bed_any_shard(bed), &asked->admission);
}

static void open_socket(struct bed_asked *asked)
{
    struct bed_client *client = asked->client;
    struct bed *bed = client->bed;
    uint32_t owner = dm_shard_owner(bed->shard[0], dm_slice_of(client->user));
    uint32_t sock = bed_sock_open(bed, client, owner);
    client->sock = sock;
    client->has_secret = dm_dialect_of(client->dialect)->resumes;
    memcpy(client->secret, asked->admission.next_secret, sizeof client->secret);
    bed_trace(bed, "client %u of %s opens socket %u, resumed %d", client->number, client->user,
              sock, asked->admission.resumed);
    bed->kind->opened(client, asked->admission.resumed);
    uint32_t number = dm_session_open(bed->shard[owner], &asked->admission, sock);
    bed->socks[sock].number = number;
    if (!number)
        client->sock = 0;
}

static bool use_grant(struct bed *bed, uint32_t lost_percent)
{
    struct bed_asked *asked = bed->granted;
    if (!asked)
        return false;
    bed->granted = asked->next;
    asked->client->asking = false;
    if (bed->dead || rand_chance(&bed->rand, lost_percent)) {
        bed_trace(bed, "client %u's socket never arrives", asked->client->number);
        dm_session_withdraw(bed_any_shard(bed), &asked->admission);
    } else
        open_socket(asked);
    dm_admission_dispose(&asked->admission);
    free(asked);
    return true;
}

bool bed_use_grant(struct bed *bed)
{
    return use_grant(bed, 10);
}

bool bed_open_grant(struct bed *bed)
{
    return use_grant(bed, 0);
}

void bed_leave(struct bed_client *client, bool goodbye)
{
    struct bed *bed = client->bed;
    struct bed_sock *sock = &bed->socks[client->sock];
    bed_trace(bed, "client %u %s", client->number, goodbye ? "says goodbye" : "drops");
    sock->open = false;
    client->sock = 0;
    client->has_secret &= !goodbye;
    dm_session_closed(bed->shard[sock->shard], sock->number, goodbye);
}
