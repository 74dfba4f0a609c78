// Runs a kernel's source on a CPU: what `instructions.cu` offers, defined for g++.
//
// Every thread of a block is a fibre; warp-wide instructions are exchanges between the 32 fibres of a warp, with
// the fragment layouts of the PTX manual. What would go wrong on the device shows here:
// - shared memory starts as NaN, and so does the target of an asynchronous copy until its thread waits for it;
// - warps run ahead of one another by random amounts between barriers;
// - buffers end at a page that cannot be touched, so a stray access of global memory ends the program;
// - addresses in shared memory must lie in what the launch asked for, aligned;
// - matrix loads whose rows share banks are counted.
// Speed, and the finer points of the device's memory order, it cannot show.

#include <csetjmp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>
#include <vector>

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;
typedef long long i64;

#define INLINE static inline
#define KERNEL(threads, blocks) extern "C" void
#define THREAD (emulator::thread)
#define BLOCK_X (emulator::block[0])
#define BLOCK_Y (emulator::block[1])
#define BLOCKS_X (emulator::grid[0])
#define BLOCK_THREADS (emulator::n_threads)

alignas(1024) static unsigned char shared_memory[232448];

namespace emulator {
struct Copy { u32 to; unsigned char bytes[16]; };
struct Rendezvous { int arrived = 0, generation = 0; };
struct Fibre {
    ucontext_t start;
    jmp_buf at;
    bool started, done;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
    u32 address, a[4], b[2], loaded[4];
    float c[4], x;
};

static int thread, block[3], grid[3], n_threads;
static u32 shared_bytes;
static u64 conflicts;
static Fibre fibres[1024];
static std::vector<unsigned char> stacks;
static Rendezvous whole, warps[32];
static jmp_buf scheduler;
static void (*body)();

[[noreturn]] static void fault(const char *what) {
    fprintf(stderr, "emulator: %s (block %d, %d, thread %d)\n", what, block[0], block[1], thread);
    exit(1);
}
static void yield() {
    int me = thread;
    if (!_setjmp(fibres[me].at)) _longjmp(scheduler, 1);
    thread = me;
}
static void entry() {
    body();
    if (!fibres[thread].open.empty()) fault("a copy was never committed");
    fibres[thread].done = true;
    _longjmp(scheduler, 1);
}
// The last of n to arrive acts for all.
template <class F>
static void meet(Rendezvous &r, int n, F last) {
    int generation = r.generation;
    if (++r.arrived == n) {
        last();
        r.arrived = 0;
        r.generation++;
    } else
        while (r.generation == generation) yield();
}
static Fibre *warp() { return fibres + (thread & ~31); }
template <class F>
static void exchange(F last) { meet(warps[thread >> 5], 32, last); }

static unsigned char *at(u32 address, u32 size) {
    if (address % size || (u64)address + size > shared_bytes) fault("a bad address in shared memory");
    return shared_memory + address;
}
static float widen(u32 half) {
    u32 bits = half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static u16 narrow(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static void load(u32 *r, u32 row, bool transposed) {
    fibres[thread].address = row;
    Fibre *w = warp();
    exchange([&] {
        for (int m = 0; m < 4; m++) {
            u32 banks = 0;
            for (int i = 0; i < 8; i++) {
                u32 bank = 1u << (w[m * 8 + i].address / 16 % 8);
                conflicts += (banks & bank) != 0;
                banks |= bank;
            }
            for (int lane = 0; lane < 32; lane++)
                for (int e = 0; e < 2; e++) {
                    int row = transposed ? lane % 4 * 2 + e : lane / 4, column = transposed ? lane / 4 : lane % 4 * 2 + e;
                    memcpy((u16 *)&w[lane].loaded[m] + e, at(w[m * 8 + row].address, 16) + column * 2, 2);
                }
        }
    });
    memcpy(r, fibres[thread].loaded, 16);
}

template <class T>
static T argument(u64 raw) {
    T value;
    memcpy(&value, &raw, sizeof value);
    return value;
}
template <class... A, size_t... I>
static void call(void (*kernel)(A...), const u64 *raw, std::index_sequence<I...>) {
    kernel(argument<A>(raw[I])...);
}
template <class... A>
static bool call(void (*kernel)(A...), const u64 *raw, u32 n) {
    if (raw) call(kernel, raw, std::index_sequence_for<A...>());
    return n == sizeof...(A);
}
static const u64 *arguments;
static u32 n_arguments;

static void run_block(u32 seed) {
    whole = Rendezvous();
    for (auto &w : warps) w = Rendezvous();
    memset(shared_memory, 0xff, sizeof shared_memory);
    const size_t stack = 128 << 10;
    stacks.resize(stack * n_threads);
    for (int i = 0; i < n_threads; i++) {
        Fibre &f = fibres[i];
        f.started = f.done = false;
        f.open.clear();
        f.groups.clear();
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = stacks.data() + stack * i;
        f.start.uc_stack.ss_size = stack;
        f.start.uc_link = nullptr;
        makecontext(&f.start, entry, 0);
    }
    volatile int left = n_threads;
    volatile u32 random = seed * 2654435761u + 1;
    while (left) {
        random = random * 1664525u + 1013904223u;
        int first = (random >> 16) % ((n_threads + 31) / 32) * 32;
        int last = first + 32 < n_threads ? first + 32 : n_threads;
        for (volatile int round = 1 << (random >> 8 & 7); round; round = round - 1)
            for (volatile int i = first; i < last; i = i + 1) {
                Fibre &f = fibres[i];
                if (f.done) continue;
                thread = i;
                if (!_setjmp(scheduler)) {
                    if (f.started) _longjmp(f.at, 1);
                    f.started = true;
                    setcontext(&f.start);
                }
                if (fibres[i].done) left = left - 1;
            }
    }
}
}  // namespace emulator

INLINE u32 shared_address(const void *p) { return (u32)((const unsigned char *)p - shared_memory); }
INLINE void barrier() { emulator::meet(emulator::whole, emulator::n_threads, [] {}); }
INLINE void copy_async(u32 to, const void *from, bool valid) {
    emulator::Copy copy = {to, {}};
    if ((u64)from % 16) emulator::fault("an unaligned copy");
    if (valid) memcpy(copy.bytes, from, 16);
    memset(emulator::at(to, 16), 0xff, 16);
    emulator::fibres[THREAD].open.push_back(copy);
}
INLINE void commit_copies() {
    emulator::Fibre &f = emulator::fibres[THREAD];
    f.groups.emplace_back(std::move(f.open));
    f.open.clear();
}
template <int PENDING>
INLINE void wait_copies() {
    auto &groups = emulator::fibres[THREAD].groups;
    while (groups.size() > PENDING) {
        for (auto &copy : groups.front()) memcpy(shared_memory + copy.to, copy.bytes, 16);
        groups.erase(groups.begin());
    }
}
INLINE void load_matrices(u32 *r, u32 row) { emulator::load(r, row, false); }
INLINE void load_matrices_transposed(u32 *r, u32 row) { emulator::load(r, row, true); }
INLINE void multiply(float *c, const u32 *a, u32 b0, u32 b1) {
    emulator::Fibre &me = emulator::fibres[THREAD], *w = emulator::warp();
    memcpy(me.a, a, 16);
    memcpy(me.c, c, 16);
    me.b[0] = b0;
    me.b[1] = b1;
    emulator::exchange([w] {
        float left[16][16], right[8][16];
        for (int lane = 0; lane < 32; lane++)
            for (int e = 0; e < 2; e++) {
                for (int i = 0; i < 4; i++)
                    left[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8 + e] = emulator::widen(w[lane].a[i] >> 16 * e & 0xffff);
                for (int i = 0; i < 2; i++)
                    right[lane / 4][lane % 4 * 2 + i * 8 + e] = emulator::widen(w[lane].b[i] >> 16 * e & 0xffff);
            }
        for (int lane = 0; lane < 32; lane++)
            for (int e = 0; e < 4; e++) {
                const float *l = left[lane / 4 + e / 2 * 8], *r = right[lane % 4 * 2 + e % 2];
                float sum = 0;
                for (int k = 0; k < 16; k++) sum += l[k] * r[k];
                w[lane].c[e] += sum;
            }
    });
    memcpy(c, emulator::fibres[THREAD].c, 16);
}
INLINE void store_shared(u32 to, u32 value) { memcpy(emulator::at(to, 4), &value, 4); }
INLINE void load_shared4(u32 *r, u32 from) { memcpy(r, emulator::at(from, 16), 16); }
INLINE void store_global4(void *to, const u32 *r) {
    if ((u64)to % 16) emulator::fault("an unaligned store");
    memcpy(to, r, 16);
}
INLINE void add_global(float *to, float value) { *to += value; }
INLINE float shuffle_xor(float x, int mask) {
    int me = THREAD;
    emulator::fibres[me].x = x;
    emulator::exchange([] {});
    float y = emulator::fibres[me ^ mask].x;
    emulator::exchange([] {});
    return y;
}
INLINE float exp2_fast(float x) { return exp2f(x); }
INLINE float log2_fast(float x) { return log2f(x); }
INLINE float square_root(float x) { return sqrtf(x); }
INLINE float exponential(float x) { return expf(x); }
INLINE float logarithm(float x) { return logf(x); }
INLINE float larger(float a, float b) { return fmaxf(a, b); }
INLINE u32 bits_of(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    return bits;
}
INLINE float float_of(u32 bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
INLINE u32 pack_bf16(float low, float high) { return emulator::narrow(low) | (u32)emulator::narrow(high) << 16; }

// `KERNEL_NAMES` follows the kernels: dispatches a launch by name.
static bool dispatch(const char *name, const u64 *arguments, u32 n);

// A buffer that ends (but for rounding up to 16 bytes) where memory ends. Kept until the program ends.
extern "C" void *emulator_allocate(u64 bytes) {
    u64 page = 4096, used = (bytes + 15) / 16 * 16, pages = (used + page - 1) / page * page;
    char *all = (char *)mmap(nullptr, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || (pages && mprotect(all + page, pages, PROT_READ | PROT_WRITE))) return nullptr;
    return all + page + pages - used;
}

// 0: it ran. 1: no kernel of this name takes this many arguments. `conflicts` counts loads whose rows share banks.
extern "C" int emulator_launch(const char *name, const u32 *grid, u32 threads, u32 shared_bytes, const u64 *arguments,
                               u32 n_arguments, u64 *conflicts) {
    static const char *current;
    current = name;
    emulator::n_threads = threads;
    emulator::shared_bytes = shared_bytes;
    emulator::arguments = arguments;
    emulator::n_arguments = n_arguments;
    emulator::conflicts = 0;
    for (int i = 0; i < 3; i++) emulator::grid[i] = grid[i];
    if (threads > 1024 || shared_bytes > sizeof shared_memory || !dispatch(name, nullptr, n_arguments)) return 1;
    emulator::body = [] { dispatch(current, emulator::arguments, emulator::n_arguments); };
    for (u32 y = 0; y < grid[1]; y++)
        for (u32 x = 0; x < grid[0]; x++) {
            emulator::block[0] = x;
            emulator::block[1] = y;
            emulator::run_block(x + 7919 * y);
        }
    *conflicts = emulator::conflicts;
    return 0;
}
