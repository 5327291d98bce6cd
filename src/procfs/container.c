#include "procfs/container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/membership.h"
#include "procfs/process.h"

enum { ID_DIGITS = 64 };

/* What the variable part of a directory's name must be. */
enum name_kind {
    NAME_ID,      /* 64 hexadecimal digits */
    NAME_GARDEN,  /* 8-4-4-4-4: Garden cuts a UUID's last 8 digits off */
    NAME_ECS,     /* 32 hexadecimal digits, '-', a number: Fargate */
    NAME_PLAIN,   /* anything */
    NAME_MACHINE, /* anything, as a part of a unit's name (systemd.unit(5)) */
};

struct form {
    const char *runtime;
    const char *parent; /* the directory it lies in; NULL: any */
    const char *prefix, *suffix;
    enum name_kind kind;
};

/*
 * One directory name of a cgroup's path each; the first that fits counts. With systemd's driver
 * runc and crun name a scope PREFIX-ID.scope, and with the other one a directory ID, PREFIX-ID or
 * (a slice's path misread) SLICE:PREFIX:ID.
 */
static const struct form forms[] = {
    {"docker", NULL, "docker-", ".scope", NAME_ID},
    {"docker", "docker", "", "", NAME_ID},
    {"docker", NULL, "docker:", "", NAME_ID},
    {"containerd", NULL, "cri-containerd-", ".scope", NAME_ID},
    {"containerd", NULL, "cri-containerd:", "", NAME_ID},
    {"containerd", NULL, "nerdctl-", ".scope", NAME_ID},
    {"containerd", NULL, "nerdctl:", "", NAME_ID},
    {"cri-o", NULL, "crio-", ".scope", NAME_ID},
    {"cri-o", NULL, "crio-", "", NAME_ID},
    {"cri-o", NULL, "crio:", "", NAME_ID},
    {"podman", NULL, "libpod-", ".scope", NAME_ID},
    {"podman", NULL, "libpod-", "", NAME_ID},
    {"podman", NULL, "libpod-payload-", "", NAME_ID}, /* --cgroups=split, quadlets */
    {"podman", NULL, "libpod:", "", NAME_ID},
    {"lxc", NULL, "lxc.payload.", "", NAME_PLAIN}, /* since LXC 4.0 */
    {"lxc", "lxc.payload", "", "", NAME_PLAIN},
    {"lxc", "lxc", "", "", NAME_PLAIN}, /* before, and Proxmox */
    {"systemd-nspawn", NULL, "systemd-nspawn@", ".service", NAME_MACHINE},
    {"machined", "machine.slice", "machine-", ".scope", NAME_MACHINE},
    {"garden", NULL, "", "", NAME_GARDEN},
    {"ecs", NULL, "", "", NAME_ECS},
    {NULL, NULL, "", "", NAME_ID}, /* kubelet's cgroupfs driver, docker's --cgroup-parent, ... */
};

struct part {
    const char *at;
    size_t length;
};

static bool part_is(struct part part, const char *string)
{
    return part.length == strlen(string) && memcmp(part.at, string, part.length) == 0;
}

/* Takes `count` lower-case hexadecimal digits off the front. */
static bool take_digits(struct part *part, size_t count)
{
    if (part->length < count || strspn(part->at, "0123456789abcdef") < count)
        return false;
    part->at += count;
    part->length -= count;
    return true;
}

static bool take_dash(struct part *part)
{
    if (part->length == 0 || *part->at != '-')
        return false;
    part->at++;
    part->length--;
    return true;
}

static bool is_garden(struct part part)
{
    if (!take_digits(&part, 8))
        return false;
    for (int i = 0; i < 4; i++)
        if (!take_dash(&part) || !take_digits(&part, 4))
            return false;
    return part.length == 0;
}

static bool is_ecs(struct part part)
{
    return take_digits(&part, 32) && take_dash(&part) && part.length > 0 &&
           strspn(part.at, "0123456789") >= part.length;
}

static bool is_id(struct part part)
{
    return take_digits(&part, ID_DIGITS) && part.length == 0;
}

/* systemd-machined names virtual machines, too; their memory is qemu's own business. */
static bool is_machine(struct part part)
{
    static const char qemu[] = "qemu\\x2d";

    return part.length > 0 &&
           (part.length < sizeof qemu - 1 || memcmp(part.at, qemu, sizeof qemu - 1) != 0);
}

static bool is_kind(struct part part, enum name_kind kind)
{
    switch (kind) {
    case NAME_ID:
        return is_id(part);
    case NAME_GARDEN:
        return is_garden(part);
    case NAME_ECS:
        return is_ecs(part);
    case NAME_PLAIN:
        return part.length > 0;
    case NAME_MACHINE:
        return is_machine(part);
    }
    return false;
}

/* A prefix with ':' stands behind the name of a slice. */
static bool take_prefix(struct part *part, const char *prefix)
{
    size_t length = strlen(prefix);
    const char *colon =
        length && prefix[length - 1] == ':' ? memchr(part->at, ':', part->length) : NULL;

    if (colon) {
        part->length -= (size_t)(colon + 1 - part->at);
        part->at = colon + 1;
    } else if (length && prefix[length - 1] == ':') {
        return false;
    }
    if (part->length < length || memcmp(part->at, prefix, length) != 0)
        return false;
    part->at += length;
    part->length -= length;
    return true;
}

static bool take_suffix(struct part *part, const char *suffix)
{
    size_t length = strlen(suffix);

    if (part->length < length || memcmp(part->at + part->length - length, suffix, length) != 0)
        return false;
    part->length -= length;
    return true;
}

/* "\x2d" is '-': what a unit's name cannot hold as it is. */
static size_t unescape_unit(char *name)
{
    char *out = name;

    for (const char *in = name; *in; out++) {
        char digits[3] = {0};

        if (in[0] == '\\' && in[1] == 'x' && in[2] && in[3] &&
            strspn(in + 2, "0123456789abcdef") >= 2) {
            memcpy(digits, in + 2, 2);
            *out = (char)strtol(digits, NULL, 16);
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
    return (size_t)(out - name);
}

static bool fits(const struct form *form, struct part parent, struct part part,
                 struct container *ret)
{
    if (form->parent && !part_is(parent, form->parent))
        return false;
    if (!take_prefix(&part, form->prefix) || !take_suffix(&part, form->suffix) ||
        !is_kind(part, form->kind) || part.length >= sizeof ret->name)
        return false;
    memcpy(ret->name, part.at, part.length);
    ret->name[part.length] = '\0';
    ret->runtime = form->runtime;
    return form->kind != NAME_MACHINE || unescape_unit(ret->name) > 0;
}

/* The directory name that ends at `end`; empty at the path's begin. */
static struct part part_before(const char *path, const char *end)
{
    const char *begin = end;

    while (begin > path && begin[-1] != '/')
        begin--;
    return (struct part){begin, (size_t)(end - begin)};
}

/* The kernel marks the path of a directory that was removed. */
static size_t length_alive(const char *path)
{
    static const char mark[] = " (deleted)";
    size_t length = strlen(path), cut = sizeof mark - 1;

    return length >= cut && strcmp(path + length - cut, mark) == 0 ? length - cut : length;
}

bool container_from_path(const char *path, struct container *ret)
{
    const char *end = path + length_alive(path);

    while (end > path) {
        struct part part = part_before(path, end);
        struct part parent = part_before(path, part.at > path ? part.at - 1 : path);

        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
            if (fits(&forms[i], parent, part, ret))
                return true;
        end = part.at > path ? part.at - 1 : path;
    }
    *ret = (struct container){0};
    return false;
}

static int take_membership(void *context, const struct membership *membership)
{
    return container_from_path(membership->path, context);
}

int container_read(const struct procfs *procfs, pid_t pid, struct container *ret, struct why *why)
{
    struct container container = {0};
    int r = memberships_each(procfs, pid, take_membership, &container, why);

    if (r < 0 && r != -ENOENT)
        return r;
    *ret = container;
    return 0;
}
