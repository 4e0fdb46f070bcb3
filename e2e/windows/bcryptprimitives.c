// A stand-in for bcryptprimitives.dll, which Wine has from version 9 on and without
// which no Go program starts. While it is at it, it mends what keeps Go's
// os.RemoveAll and os.Root from deleting files under Wine 8.

#include <windows.h>
#include <string.h>

BOOLEAN NTAPI SystemFunction036(PVOID data, ULONG size); // RtlGenRandom

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, size); }

typedef LONG(NTAPI *set_information)(HANDLE, PVOID, PVOID, ULONG, int);

static set_information original;

// Wine 8 answers STATUS_NOT_IMPLEMENTED to FileDispositionInformationEx, where a
// Windows that does not know it says STATUS_NOT_SUPPORTED, and Go then deletes in
// the older way.
static LONG NTAPI set(HANDLE file, PVOID io, PVOID info, ULONG size, int class) {
  LONG status = original(file, io, info, size, class);
  return class == 64 && status == (LONG)0xC0000002 ? (LONG)0xC00000BB : status;
}

// The function in ntdll is 32 bytes that run anywhere; a jump to ours takes the
// place of the first 12.
BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved) {
  BYTE *function = (BYTE *)GetProcAddress(GetModuleHandleA("ntdll"), "NtSetInformationFile");
  BYTE *copy;
  BYTE jump[12] = {0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0};
  void *target = (void *)set;
  DWORD before;
  if (reason != DLL_PROCESS_ATTACH)
    return TRUE;
  copy = VirtualAlloc(NULL, 32, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
  if (copy == NULL || !VirtualProtect(function, sizeof jump, PAGE_EXECUTE_READWRITE, &before))
    return FALSE;
  memcpy(copy, function, 32);
  original = (set_information)copy;
  memcpy(jump + 2, &target, sizeof target);
  memcpy(function, jump, sizeof jump);
  return VirtualProtect(function, sizeof jump, before, &before);
}
