#include "elf/plt.h"

#include <string.h>

#include "elf/file.h"
#include "elf/sections.h"

bool plt_row_at(const struct elf_image *image, uint64_t address, struct cfi_row *ret)
{
    uint8_t code[ARCH_PLT_BYTES];
    uint64_t start;

    if (!elf_in_section(image, address, ".plt", &start) ||
        elf_read_linked(image, address, code, sizeof code) != 0 ||
        !arch_is_plt_jump(code, address - start))
        return false;
    memset(ret, 0, sizeof *ret);
    ret->cfa = (struct cfi_rule){
        .kind = CFI_REGISTER, .number = ARCH_STACK_POINTER, .offset = ARCH_RETURN_ADDRESS_BYTES};
    ret->registers[ARCH_PROGRAM_COUNTER] =
        (struct cfi_rule){.kind = CFI_OFFSET, .offset = -ARCH_RETURN_ADDRESS_BYTES};
    return true;
}
