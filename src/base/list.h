/*
 * Intrusive doubly linked list: the links live in the thing listed, which is
 * on at most one list per link. An unlinked link has next == NULL.
 */
#ifndef DM_BASE_LIST_H
#define DM_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct dm_list {
    struct dm_list *next, *prev;
};

static inline void dm_list_init(struct dm_list *head)
{
    head->next = head->prev = head;
}

static inline void dm_list_insert(struct dm_list *before, struct dm_list *link)
{
    link->next = before;
    link->prev = before->prev;
    before->prev->next = link;
    before->prev = link;
}

static inline bool dm_list_empty(const struct dm_list *head)
{
    return head->next == head;
}

static inline bool dm_list_linked(const struct dm_list *link)
{
    return link->next != NULL;
}

static inline void dm_list_push(struct dm_list *head, struct dm_list *link) /* at the tail */
{
    dm_list_insert(head, link);
}

static inline void dm_list_unlink(struct dm_list *link)
{
    if (!link->next)
        return;
    link->next->prev = link->prev;
    link->prev->next = link->next;
    link->next = link->prev = NULL;
}

/* Takes the first link off the list; NULL when there is none. */
static inline struct dm_list *dm_list_shift(struct dm_list *head)
{
    struct dm_list *first = head->next;
    if (first == head)
        return NULL;
    dm_list_unlink(first);
    return first;
}

#endif
