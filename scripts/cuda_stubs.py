"""Writes what a link with the `cuda` feature asks for where CUDA is not installed.

The linker wants -lcuda, -lcublas, -lcublasLt, -lcurand and -lnvrtc. Each becomes a static archive of jumps: the first
call of a function opens the real library and remembers the address. Which functions there are is read from the
declarations in the cudarc crate. Where a library cannot be opened, its functions return the library's own
"not initialised" code, which reaches the user as an error.

The quantised kernels of candle-kernels are most of its build, and nothing here calls them: a wrapper around nvcc
replaces their objects by functions that abort.
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path
from string import Template

# Module of cudarc: name for the linker, file to open, file to open before it, result where it is missing.
LIBRARIES = {
    "driver": ("cuda", "libcuda.so.1", "", 100),
    "nvrtc": ("nvrtc", "libnvrtc.so.13", "libnvrtc-builtins.so.13.0", 11),
    "curand": ("curand", "libcurand.so.10", "", 101),
    "cublas": ("cublas", "libcublas.so.13", "libcublasLt.so.13", 1),
    "cublaslt": ("cublasLt", "libcublasLt.so.13", "", 1),
}
# After CUDA_LIB_DIR and the loader's own path.
DIRECTORIES = [
    "/usr/local/cuda/lib64",
    "/usr/local/cuda/targets/x86_64-linux/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib/x86_64-linux-gnu",
]

STUB = Template(r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {$names};
static const char *const directories[] = {$directories};
extern void *${name}_slots[] __attribute__((visibility("hidden")));

static long missing_code(void) { return $missing; }
static const char *missing_text(void) { return "cannot open $file"; }

static void *open_below(const char *directory) {
    char path[4096];
    /* The library finds this one by its bare name only, so it is loaded first. */
    if (*"$first") {
        snprintf(path, sizeof path, "%s/%s", directory, "$first");
        dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    }
    snprintf(path, sizeof path, "%s/%s", directory, "$file");
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static void *library(void) {
    static void *found;
    static int tried;
    if (__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) return found;
    const char *directory = getenv("CUDA_LIB_DIR");
    void *opened = directory ? open_below(directory) : 0;
    if (!opened) opened = dlopen("$file", RTLD_NOW | RTLD_GLOBAL);
    for (unsigned i = 0; !opened && i < sizeof directories / sizeof *directories; i++)
        opened = open_below(directories[i]);
    if (opened) __atomic_store_n(&found, opened, __ATOMIC_RELEASE);
    __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
    return found;
}

__attribute__((visibility("hidden"))) void *${name}_resolve(unsigned long i) {
    void *opened = library();
    void *function = opened ? dlsym(opened, names[i]) : 0;
    if (!function) return strstr(names[i], "String") || strstr(names[i], "StatusName") ? $text : (void *)missing_code;
    __atomic_store_n(&${name}_slots[i], function, __ATOMIC_RELEASE);
    return function;
}

/* Keeps every argument register while the address is looked up, and the stack aligned for the call. */
__asm__(R"(
.data
.balign 8
.globl ${name}_slots
.hidden ${name}_slots
${name}_slots:
$slots
.text
.L${name}_resolve:
 pushq %rdi
 pushq %rsi
 pushq %rdx
 pushq %rcx
 pushq %r8
 pushq %r9
 movq 48(%rsp), %rdi
 subq $$128, %rsp
 movups %xmm0, (%rsp)
 movups %xmm1, 16(%rsp)
 movups %xmm2, 32(%rsp)
 movups %xmm3, 48(%rsp)
 movups %xmm4, 64(%rsp)
 movups %xmm5, 80(%rsp)
 movups %xmm6, 96(%rsp)
 movups %xmm7, 112(%rsp)
 call ${name}_resolve
 movups (%rsp), %xmm0
 movups 16(%rsp), %xmm1
 movups 32(%rsp), %xmm2
 movups 48(%rsp), %xmm3
 movups 64(%rsp), %xmm4
 movups 80(%rsp), %xmm5
 movups 96(%rsp), %xmm6
 movups 112(%rsp), %xmm7
 addq $$128, %rsp
 popq %r9
 popq %r8
 popq %rcx
 popq %rdx
 popq %rsi
 popq %rdi
 addq $$8, %rsp
 jmp *%rax
$functions
)");
""")

WRAPPER = Template("""#!/usr/bin/env bash
source= output= directory= ptx= before=
for argument in "$$@"; do
    case $$before in -o) output=$$argument ;; --output-directory) directory=$$argument ;; esac
    case $$argument in *.cu) source=$$argument ;; --ptx) ptx=1 ;; esac
    before=$$argument
done
case $$source in
*/mmq_* | */mmvq_gguf.cu | */moe/*)
    cp "$unused" "$$output"
    exit
    ;;
*/quantized.cu)
    if [ -n "$$ptx" ]; then
        printf '.version 8.0\\n.target sm_80\\n.address_size 64\\n' >"$$directory/quantized.ptx"
        exit
    fi
    ;;
esac
exec "$nvcc" "$$@"
""")


def quoted(items):
    return ",".join(f'"{item}"' for item in items)


def write_changed(path, text):
    """cargo and make look at times: an unchanged file keeps its own."""
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True


def stub(module, cudarc, out):
    name, file, first, missing = LIBRARIES[module]
    declared = (cudarc / "src" / module / "sys" / "mod.rs").read_text()
    functions = sorted(set(re.findall(r'extern "C" \{\s*(?:pub )?fn (\w+)\s*\(', declared)))
    if not functions:
        raise SystemExit(f"cuda_stubs.py: no functions are declared in {cudarc}/src/{module}/sys/mod.rs")
    text = STUB.substitute(
        name=name, file=file, first=first, missing=missing, names=quoted(functions), directories=quoted(DIRECTORIES),
        # The driver's string functions return a code and write through a pointer.
        text="(void *)missing_code" if name == "cuda" else "(void *)missing_text",
        slots="\n".join(f".quad .L{name}_lazy_{i}" for i in range(len(functions))),
        functions="\n".join(
            f".globl {function}\n.type {function},@function\n{function}: jmp *.L{name}_slot_{i}(%rip)\n"
            f".set .L{name}_slot_{i}, {name}_slots+{8 * i}\n"
            f".L{name}_lazy_{i}: pushq ${i}\n jmp .L{name}_resolve"
            for i, function in enumerate(functions)
        ),
    )  # fmt: skip
    source, object = out / f"{name}.c", out / f"{name}.o"
    if write_changed(source, text) or not (out / f"lib{name}.a").exists():
        subprocess.check_call(["gcc", "-O2", "-fPIC", "-std=gnu11", "-c", source, "-o", object])
        subprocess.check_call(["ar", "rcs", out / f"lib{name}.a", object])


def nvcc_wrapper(candle_kernels, cuda_home, out):
    declared = re.findall(r"pub fn (\w+)", (candle_kernels / "src" / "ffi.rs").read_text())
    functions = "\n".join(
        f'__attribute__((weak)) void {name}(void) {{ fputs("{name} is not in this build\\n", stderr); abort(); }}'
        for name in declared
    )
    source, object = out / "unused.c", out / "unused.o"
    if write_changed(source, f"#include <stdio.h>\n#include <stdlib.h>\n{functions}\n") or not object.exists():
        subprocess.check_call(["gcc", "-O1", "-fPIC", "-c", source, "-o", object])
    wrapper = cuda_home / "bin" / "nvcc-lean"
    write_changed(wrapper, WRAPPER.substitute(unused=object, nvcc=cuda_home / "bin" / "nvcc"))
    wrapper.chmod(0o755)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ["--cudarc", "--candle-kernels", "--cuda-home"]:
        parser.add_argument(option, type=Path, required=True)
    arguments = parser.parse_args()
    out = arguments.cuda_home / "lib64" / "stubs"  # where cudarc's build script looks
    out.mkdir(parents=True, exist_ok=True)
    for module in LIBRARIES:
        stub(module, arguments.cudarc, out)
    # The static runtime opens the driver by itself.
    shutil.copyfile(arguments.cuda_home / "lib" / "libcudart_static.a", out / "libcudart.a")
    nvcc_wrapper(arguments.candle_kernels, arguments.cuda_home, out)


if __name__ == "__main__":
    main()
