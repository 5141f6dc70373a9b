// The six symbols that TFX's manylinux_2_39 wheels import and that glibc < 2.38 and libstdc++ < 13 do not have.
// repair_wheels.py compiles them into a shared object beside the extension modules that need them.
#include <cinttypes>
#include <cstdlib>
#include <exception>
#include <ios>

// libstdc++ 13 initialises the standard streams in one exported call. Before it, each object file did so itself.
static std::ios_base::Init standard_streams;

extern "C" {
void _ZSt21ios_base_library_initv() {}

// Called when an exception leaves a noexcept function: the standard requires the program to terminate.
void __cxa_call_terminate(void*) { std::terminate(); }

// C23 conversions differ from C11's only in that they also accept the binary prefix 0b, which no caller here uses.
long __isoc23_strtol(const char* text, char** end, int base) { return std::strtol(text, end, base); }
long long __isoc23_strtoll(const char* text, char** end, int base) { return std::strtoll(text, end, base); }
unsigned long __isoc23_strtoul(const char* text, char** end, int base) { return std::strtoul(text, end, base); }
unsigned long long __isoc23_strtoull(const char* text, char** end, int base) { return std::strtoull(text, end, base); }
}
