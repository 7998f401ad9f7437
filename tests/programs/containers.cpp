// A C++ program as there are many: containers, exceptions, over-aligned objects, streams, expressions, threads.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

struct alignas(128) Wide {
    char bytes[128];
};

static std::uint64_t count_words(int seed)
{
    std::map<std::string, std::vector<int>> words;
    for (int i = 0; i < 40000; i++) {
        std::ostringstream word;
        word << "word " << (std::int64_t{i} * 7919 + seed) % 2003 << " of a thread";
        words[word.str()].push_back(i);
    }
    std::uint64_t sum = 0;
    for (const auto &[word, places] : words)
        sum = sum * 31 + word.size() * std::accumulate(places.begin(), places.end(), std::uint64_t{0});
    return sum;
}

static int thrown_and_caught()
{
    int caught = 0;
    for (int i = 0; i < 2000; i++) {
        try {
            auto held = std::make_unique<std::string>(static_cast<std::size_t>(i), 'x');
            throw std::runtime_error("exception " + std::to_string(held->size()));
        } catch (const std::exception &exception) {
            caught += exception.what()[0] == 'e';
        }
    }
    return caught;
}

static bool too_much_is_refused()
{
    volatile std::size_t much = std::size_t{1} << 45;
    try {
        delete[] new char[much];
    } catch (const std::bad_alloc &) {
        return new (std::nothrow) char[much] == nullptr;
    }
    return false;
}

static bool wide_are_aligned()
{
    std::vector<std::unique_ptr<Wide>> wide;
    for (int i = 0; i < 100; i++)
        wide.push_back(std::make_unique<Wide>());
    return std::all_of(wide.begin(), wide.end(), [](const auto &one) {
        return reinterpret_cast<std::uintptr_t>(one.get()) % alignof(Wide) == 0;
    });
}

int main()
{
    std::vector<std::uint64_t> sums(4);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&sums, i] { sums[i] = count_words(i); });
    for (auto &thread : threads)
        thread.join();
    for (auto sum : sums)
        std::cout << sum << '\n';

    std::unordered_map<int, std::shared_ptr<std::string>> shared;
    for (int i = 0; i < 50000; i++)
        shared[i * 13 % 7001] = std::make_shared<std::string>(std::to_string(i));
    std::cout << shared.size() << ' ' << *shared[13] << '\n';

    const std::string text = "a1 b22 c333 d4444";
    std::cout << std::regex_replace(text, std::regex("([a-z])([0-9]+)"), "$2$1") << '\n';
    std::cout << thrown_and_caught() << too_much_is_refused() << wide_are_aligned() << std::endl;
}
