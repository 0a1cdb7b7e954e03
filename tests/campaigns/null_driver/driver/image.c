/* Modules: machine code as an ELF file, of which the tables of kernels and their parameters are read.
 *
 * Facts about the files: machine 190; e_flags hold the architecture, in bits 8 to 15 since ABI 8, in bits 0 to 7
 * before. A kernel K is a function symbol with code in ".text.K", shared memory in ".nv.shared.K" and attributes in
 * ".nv.info.K": records of a format (1 byte), a name (1), and a value or a length (2) with so many bytes behind it.
 */
#define _GNU_SOURCE
#include "null_driver.h"

#include <stdlib.h>
#include <string.h>

#define EM_CUDA_ 190
#define FORMAT_SIZED 4
/* EIATTR_... */
enum {
    MAX_THREADS = 0x05,
    FRAME_SIZE = 0x11,
    MIN_STACK_SIZE = 0x12,
    KPARAM_INFO = 0x17,
    CBANK_PARAM_SIZE = 0x19,
    REGCOUNT = 0x2f,
};
#define MOST_PARAMETERS 4096

static const Elf64_Shdr *section(const struct library *library, const char *prefix, const char *name)
{
    size_t length = strlen(prefix);
    for (int i = 0; i < library->n_sections; i++) {
        const char *found = library->names + library->sections[i].sh_name;
        if (strncmp(found, prefix, length) == 0 && strcmp(found + length, name) == 0)
            return &library->sections[i];
    }
    return NULL;
}

static uint64_t end_of(const Elf64_Ehdr *head)
{
    const Elf64_Shdr *sections = (const Elf64_Shdr *)((const char *)head + head->e_shoff);
    uint64_t end = head->e_shoff + (uint64_t)head->e_shnum * sizeof *sections;
    for (int i = 0; i < head->e_shnum; i++)
        if (sections[i].sh_type != SHT_NOBITS && sections[i].sh_offset + sections[i].sh_size > end)
            end = sections[i].sh_offset + sections[i].sh_size;
    return end;
}

static CUresult check_image(struct call *call, const Elf64_Ehdr *head)
{
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return fail(call, INVALID_IMAGE, "the image is no ELF file");
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_machine != EM_CUDA_)
        return fail(call, INVALID_IMAGE, "the ELF file is for machine %d, not for CUDA", head->e_machine);
    unsigned architecture = head->e_ident[EI_ABIVERSION] >= 8 ? head->e_flags >> 8 & 0xff : head->e_flags & 0xff;
    unsigned major = architecture / 10, minor = architecture % 10;
    if (major != (unsigned)settings.major || minor > (unsigned)settings.minor)
        return fail(call, NO_BINARY_FOR_GPU, "code for %u.%u on a device of %d.%d", major, minor, settings.major,
                    settings.minor);
    return SUCCESS;
}

/* Attributes that ".nv.info" holds of all functions: the number of a symbol, and a value. */
static void read_common(const struct library *library, struct kernel *kernel)
{
    const Elf64_Shdr *info = section(library, ".nv.info", "");
    if (info == NULL)
        return;
    const unsigned char *record = (const unsigned char *)library->image + info->sh_offset,
                        *end = record + info->sh_size;
    while (record + 4 <= end) {
        uint16_t length;
        uint32_t pair[2];
        memcpy(&length, record + 2, sizeof length);
        if (record[0] == FORMAT_SIZED && length == sizeof pair) {
            memcpy(pair, record + 4, sizeof pair);
            if (pair[0] == kernel->symbol && record[1] == REGCOUNT)
                kernel->registers = pair[1];
            if (pair[0] == kernel->symbol && (record[1] == FRAME_SIZE || record[1] == MIN_STACK_SIZE) &&
                pair[1] > kernel->stack)
                kernel->stack = pair[1];
        }
        record += 4 + (record[0] == FORMAT_SIZED ? length : 0);
    }
}

/* Attributes of a kernel: its parameters, and the threads that its blocks may have. */
static void read_attributes(const struct library *library, const Elf64_Shdr *info, struct kernel *kernel)
{
    const unsigned char *record = (const unsigned char *)library->image + info->sh_offset,
                        *end = record + info->sh_size;
    kernel->parameters = calloc(MOST_PARAMETERS, sizeof *kernel->parameters);
    kernel->threads = 1024;
    while (record + 4 <= end) {
        uint16_t value, place[2];
        uint32_t words[3];
        memcpy(&value, record + 2, sizeof value);
        const unsigned char *data = record + 4;
        if (record[1] == CBANK_PARAM_SIZE)
            kernel->parameter_bytes = value;
        if (record[1] == MAX_THREADS && value >= sizeof words) {
            memcpy(words, data, sizeof words);
            kernel->threads = words[0] * words[1] * words[2];
        }
        if (record[1] == KPARAM_INFO && value == 12) {
            memcpy(place, data + 4, sizeof place);  /* ordinal, offset */
            memcpy(words, data + 8, sizeof *words); /* the size is in the upper 14 bits */
            if (place[0] < MOST_PARAMETERS) {
                kernel->parameters[place[0]] = (struct parameter){place[1], words[0] >> 18};
                if (place[0] >= kernel->n_parameters)
                    kernel->n_parameters = place[0] + 1u;
            }
        }
        record += 4 + (record[0] == FORMAT_SIZED ? value : 0);
    }
}

/* Whether the parameters follow each other without overlap, and end where the kernel's parameters are said to end. */
static bool is_whole(const struct kernel *kernel)
{
    unsigned end = 0;
    for (unsigned i = 0; i < kernel->n_parameters; i++) {
        if (kernel->parameters[i].size == 0 || kernel->parameters[i].offset < end)
            return false;
        end = kernel->parameters[i].offset + kernel->parameters[i].size;
    }
    return end == kernel->parameter_bytes;
}

static CUresult read_kernel(struct call *call, struct library *library, const char *name, struct kernel *kernel)
{
    const Elf64_Shdr *info = section(library, ".nv.info.", name), *shared = section(library, ".nv.shared.", name);
    kernel->library = library;
    kernel->name = strdup(name);
    kernel->shared = shared != NULL ? (unsigned)shared->sh_size : 0;
    for (size_t i = 0; i < library->n_symbols; i++)
        if (ELF64_ST_TYPE(library->symbols[i].st_info) == STT_FUNC &&
            strcmp(library->symbol_names + library->symbols[i].st_name, name) == 0)
            kernel->symbol = (unsigned)i;
    read_attributes(library, info, kernel);
    read_common(library, kernel);
    if (!is_whole(kernel))
        return fail(call, INVALID_IMAGE, "the parameters of %s cannot be read", name);
    report_line(
        "{\"event\":\"load\",\"kernel\":\"%s\",\"parameters\":%u,\"parameter_bytes\":%u,\"registers\":%u,\"stack\":%u,"
        "\"shared\":%u,\"threads\":%u}",
        name, kernel->n_parameters, kernel->parameter_bytes, kernel->registers, kernel->stack, kernel->shared,
        kernel->threads);
    return SUCCESS;
}

CUresult read_library(struct call *call, const void *image, struct library *library)
{
    CUresult status = check_image(call, image);
    if (status != SUCCESS)
        return status;
    uint64_t size = end_of(image);
    library->image = memcpy(malloc(size), image, size);
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)library->image;
    library->sections = (const Elf64_Shdr *)(library->image + head->e_shoff);
    library->n_sections = head->e_shnum;
    library->names = library->image + library->sections[head->e_shstrndx].sh_offset;
    for (int i = 0; i < library->n_sections; i++) {
        const Elf64_Shdr *found = &library->sections[i];
        if (found->sh_type != SHT_SYMTAB)
            continue;
        library->symbols = (const Elf64_Sym *)(library->image + found->sh_offset);
        library->n_symbols = found->sh_size / sizeof *library->symbols;
        library->symbol_names = library->image + library->sections[found->sh_link].sh_offset;
    }
    library->kernels = calloc((size_t)library->n_sections, sizeof *library->kernels);
    library->globals = calloc(library->n_symbols * MOST_DEVICES + 1, sizeof *library->globals);
    for (int i = 0; i < library->n_sections; i++) {
        static const char PREFIX[] = ".nv.info.";
        const char *name = library->names + library->sections[i].sh_name;
        if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0 ||
            section(library, ".text.", name + sizeof PREFIX - 1) == NULL)
            continue;
        if (section(library, ".nv.constant0.", name + sizeof PREFIX - 1) == NULL)
            continue; /* a function that kernels call */
        status = read_kernel(call, library, name + sizeof PREFIX - 1, &library->kernels[library->n_kernels++]);
        if (status != SUCCESS)
            return status;
    }
    return SUCCESS;
}
