// Replaces the plain operators and no sized one, as programs from before C++14 do. What they hand out is no object of malloc's.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <string>

static std::size_t made, deleted;

void *operator new(std::size_t size)
{
    char *object = static_cast<char *>(std::malloc(size + 32));

    if (object == nullptr)
        throw std::bad_alloc();
    made++;
    return object + 32;
}

void operator delete(void *object) noexcept
{
    if (object == nullptr)
        return;
    deleted++;
    std::free(static_cast<char *>(object) - 32);
}

int main()
{
    {
        std::map<int, std::string> names;
        for (int i = 0; i < 1000; i++)
            names[i] = std::string(i % 100, 'a');
        delete[] new int[100];
        ::operator delete(::operator new(24), std::size_t{24});
    }
    std::printf("%d\n", made == deleted && made > 1000);
    return 0;
}
