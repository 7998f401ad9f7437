// Deletes an object of so many bytes in a wrong way, which the arguments name. Prints its address first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/resource.h>

struct Base {
    char own[16];
};

struct Derived : Base {
    char more[8];
};

static void *volatile hidden; // no compiler sees where it points

static void *tell(void *object)
{
    hidden = object;
    std::printf("%p\n", object);
    std::fflush(stdout);
    return hidden;
}

int main(int count, char **arguments)
{
    rlimit no_core = {0, 0};

    if (count != 5)
        return 2;
    setrlimit(RLIMIT_CORE, &no_core);
    const char *how = arguments[4];
    std::size_t size = std::strtoul(arguments[2], nullptr, 10), other = std::strtoul(arguments[3], nullptr, 10);
    std::align_val_t alignment{64};
    if (std::strcmp(how, "delete") == 0)
        ::operator delete(tell(::operator new(size)), other);
    else if (std::strcmp(how, "delete[]") == 0)
        ::operator delete[](tell(::operator new[](size)), other);
    else if (std::strcmp(how, "aligned") == 0)
        ::operator delete(tell(::operator new(size, alignment)), other, alignment);
    else if (std::strcmp(how, "aligned[]") == 0)
        ::operator delete[](tell(::operator new[](size, alignment)), other, alignment);
    else if (std::strcmp(how, "base") == 0) { // without a virtual destructor
        Base *object = new Derived;
        tell(object);
        delete object;
    } else if (std::strcmp(how, "plain") == 0) { // no array
        ::operator delete(tell(new char[size]), other);
    } else if (std::strcmp(how, "twice") == 0) {
        ::operator delete(tell(::operator new(size)), size);
        ::operator delete(hidden, size);
    } else
        return 2;
    return 0;
}
