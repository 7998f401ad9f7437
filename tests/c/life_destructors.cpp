// Objects of static and of thread storage duration use the heap when they end, also those that began before Mem_Init.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <unistd.h>
#include <vector>

#include "mem.h"

namespace {

void must(bool right, const char *what)
{
    if (!right) {
        std::printf("not right: %s\n", what);
        std::fflush(stdout);
        _exit(1);
    }
}

struct Owner {
    explicit Owner(const char *name) : name(name) {}
    ~Owner()
    {
        void *other = Mem_Alloc(64);
        must(other != nullptr && Mem_Free(other) == 0, name);
        must(object == nullptr || Mem_Free(object) == 0, name);
        if (says)
            std::puts(name);
    }
    const char *name;
    void *object = nullptr;
    bool says = false;
};

Owner of_the_program("static");
thread_local Owner of_the_thread("thread");

}

int main()
{
    must(Mem_Init(1 << 16, 64) != nullptr, "Mem_Init");
    of_the_program.object = Mem_Alloc(200);
    of_the_program.says = of_the_thread.says = true;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([i] { must((of_the_thread.object = Mem_Alloc(i % 2 ? 64 : 100)) != nullptr, "Mem_Alloc"); });
    for (auto &thread : threads)
        thread.join();
    static Owner of_main("static in main");
    of_main.says = true;
    return 0;
}
