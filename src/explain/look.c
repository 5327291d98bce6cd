#include "explain/look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/vector.h"
#include "procfs/smaps.h"

void look_refuse(struct look *look, const struct why *reason, const char *what)
{
    struct heap_refusal refusal = {.reason = *reason};
    int r;

    snprintf(refusal.what, sizeof refusal.what, "%s", what);
    r = vector_push(&look->out->refusals, refusal);
    (void)r;
}

/* Changes when an executable mapping came, went or moved: a sum over all of them. */
static uint64_t mark_of(const struct maps *maps)
{
    uint64_t mark = 1;

    for (size_t i = 0; i < maps->count; i++) {
        const struct vma *vma = &maps->items[i];

        if (vma->executable)
            mark = (mark ^ vma->range.start ^ vma->inode << 1) * UINT64_C(0x100000001b3) +
                   vma->range.end;
    }
    return mark;
}

static int open_images(struct look *look, struct why *why)
{
    uint64_t mark = mark_of(&look->maps);
    int r;

    if (mark == look->images_mark)
        return 0;
    elf_images_close(&look->images);
    look->images_mark = 0;
    heap_memo_forget(&look->memo);
    r = elf_images_open(look->procfs, look->pid, &look->maps,
                        look->target.has_memory ? &look->target.memory.memory : NULL, &look->images,
                        why);
    if (r == 0)
        look->images_mark = mark;
    return r;
}

/* Locked mappings matter for what can be discarded, hugetlb ones for what counts: asked for where
 * there are any. */
static int read_flags(struct look *look, struct why *why)
{
    struct process_status status;
    int r = status_read(look->procfs, look->pid, &status, why);

    if (r || (status.vm_locked_bytes == 0 && status.hugetlb_bytes == 0))
        return r;
    return smaps_read_flags(look->procfs, look->pid, &look->maps, why);
}

static struct unwind_registers registers_of(const struct user_regs_struct *regs)
{
    return (struct unwind_registers){.value = {regs->rax, regs->rdx, regs->rcx, regs->rbx,
                                               regs->rsi, regs->rdi, regs->rbp, regs->rsp, regs->r8,
                                               regs->r9, regs->r10, regs->r11, regs->r12, regs->r13,
                                               regs->r14, regs->r15, regs->rip},
                                     .known = (1u << 17) - 1};
}

int look_take_registers(struct look *look)
{
    const struct target *target = &look->target;
    struct heap_thread *threads = calloc(target->thread_count + 1, sizeof *threads);

    if (!threads)
        return -ENOMEM;
    for (size_t i = 0; i < target->thread_count; i++)
        threads[i] = (struct heap_thread){.tid = target->threads[i].tid,
                                          .thread_pointer = target->threads[i].registers.fs_base,
                                          .registers = registers_of(&target->threads[i].registers)};
    free(look->threads);
    look->threads = threads;
    look->thread_count = target->thread_count;
    return 0;
}

/* The descriptors of ended threads stand where their thread pointers pointed. */
static int take_ended(struct look *look)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < look->stacks.count; i++)
        if (look->stacks.items[i].ended)
            r = vector_push(&look->ended, look->stacks.items[i].sp);
    return r;
}

static int read_threads(struct look *look, struct why *why)
{
    int r = look_take_registers(look);

    if (r || look->no_stacks)
        return r;
    r = thread_stacks_find(&look->target, &look->maps, &look->stacks, why);
    return r ? r : take_ended(look);
}

void look_forget_mappings(struct look *look)
{
    maps_free(&look->maps);
    look->maps = (struct maps){0};
    free(look->stacks.items);
    look->stacks = (struct thread_stacks){0};
    free(look->threads);
    look->threads = NULL;
    look->thread_count = 0;
    free(look->ended.items);
    look->ended = (struct ended_pointers){0};
}

int look_at_mappings(struct look *look, struct why *why)
{
    int r;

    look_forget_mappings(look);
    r = maps_read(look->procfs, look->pid, &look->maps, why);
    if (r == 0)
        r = read_flags(look, why);
    if (r == 0)
        r = open_images(look, why);
    if (r == 0 && look->target.stopped && look->target.has_memory)
        r = read_threads(look, why);
    return r;
}

struct heap_view look_heap_view(struct look *look)
{
    return (struct heap_view){
        .memory = look->surveyed ? &look->frozen.memory : &look->target.memory.memory,
        .maps = &look->maps,
        .images = &look->images,
        .threads = look->threads,
        .thread_count = look->thread_count,
        .ended = look->ended.items,
        .ended_count = look->ended.count,
        .running = !look->target.stopped && !look->read_still &&
                   (!look->captured || look->options.no_stop),
        .memo = &look->memo,
        .progress = &look->options.progress,
        .brief = look->target.stopped,
        .lists_later = look->lists_later,
        .zeros_known = look->surveyed,
    };
}
