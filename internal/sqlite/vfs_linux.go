package sqlite

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite maps the -shm file of a database in WAL mode into memory. On a frozen
// file system, a goroutine that writes to the mapping stops in a page fault, and
// the program soon with it: the goroutine keeps its place among those that run,
// where the next garbage collection waits for it, and no memory can be mapped
// meanwhile. A goroutine that stops in a system call holds up nobody else.
//
// So connections use a VFS that is SQLite's own but for this: before SQLite writes
// to the mapping, a system call that changes nothing waits for the file system to
// take writes. SQLite writes to the mapping once it has an exclusive lock on a part
// of it, and once it has synced a file.

// fileSystem is the name of the VFS.
const fileSystem = "codex-proxy"

// methods are those of SQLite's own VFS for an open file, which ours call; SQLite
// is told where ours are.
type methods struct {
	ours uintptr
	sync func(tls *libc.TLS, file uintptr, flags int32) int32
	lock func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32
}

// registered is what the VFS knows. SQLite has one list of VFSs for the process,
// and calls them without an argument of ours.
var registered struct {
	once sync.Once
	open func(tls *libc.TLS, system, name, file uintptr, flags int32, out uintptr) int32

	mu      sync.RWMutex
	methods map[uintptr]*methods // by where SQLite's own are, and ours
}

func registerFileSystem() {
	registered.once.Do(func() {
		registered.methods = map[uintptr]*methods{}
		tls := libc.NewTLS() // for as long as the VFS is registered
		ours := *at[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
		point(&registered.open, ours.FxOpen)
		name, err := libc.CString(fileSystem)
		if err != nil {
			panic(err) // no memory for a dozen bytes
		}
		ours.FzName, ours.FpNext, ours.FxOpen = name, 0, address(openFile)
		sqlite3.Xsqlite3_vfs_register(tls, lasting(tls, ours), 0)
	})
}

// at returns what a C pointer points to. address is the C pointer to a function,
// and point the other way around. They do what the translated SQLite does.
func at[T any](pointer uintptr) *T { return *(**T)(unsafe.Pointer(&pointer)) }

func address[F any](function F) uintptr { return *(*uintptr)(unsafe.Pointer(&function)) }

func point[F any](function *F, pointer uintptr) { *(*uintptr)(unsafe.Pointer(function)) = pointer }

// lasting copies to memory of C's, for SQLite to keep.
func lasting[T any](tls *libc.TLS, value T) uintptr {
	where := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(value)))
	*at[T](where) = value
	return where
}

// openFile is the VFS's xOpen.
func openFile(tls *libc.TLS, system, name, file uintptr, flags int32, out uintptr) int32 {
	result := registered.open(tls, system, name, file, flags, out)
	const shared = sqlite3.SQLITE_OPEN_MAIN_DB | sqlite3.SQLITE_OPEN_WAL
	if opened := at[sqlite3.Tsqlite3_file](file); result == sqlite3.SQLITE_OK && flags&shared != 0 {
		opened.FpMethods = replaced(tls, opened.FpMethods)
	}
	return result
}

// replaced returns where ours are for methods of SQLite's own VFS.
func replaced(tls *libc.TLS, theirs uintptr) uintptr {
	registered.mu.Lock()
	defer registered.mu.Unlock()
	known := registered.methods[theirs]
	if known == nil {
		known = &methods{}
		ours := *at[sqlite3.Tsqlite3_io_methods](theirs)
		point(&known.sync, ours.FxSync)
		ours.FxSync = address(syncFile)
		if ours.FxShmLock != 0 {
			point(&known.lock, ours.FxShmLock)
			ours.FxShmLock = address(lockShared)
		}
		known.ours = lasting(tls, ours)
		registered.methods[theirs], registered.methods[known.ours] = known, known
	}
	return known.ours
}

// of returns the methods that SQLite's own VFS has for an open file.
func of(file uintptr) *methods {
	registered.mu.RLock()
	defer registered.mu.RUnlock()
	return registered.methods[at[sqlite3.Tsqlite3_file](file).FpMethods]
}

// syncFile is xSync.
func syncFile(tls *libc.TLS, file uintptr, flags int32) int32 {
	result := of(file).sync(tls, file, flags)
	awaitFileSystem(file)
	return result
}

// lockShared is xShmLock.
func lockShared(tls *libc.TLS, file uintptr, offset, n, flags int32) int32 {
	result := of(file).lock(tls, file, offset, n, flags)
	if flags == sqlite3.SQLITE_SHM_LOCK|sqlite3.SQLITE_SHM_EXCLUSIVE {
		awaitFileSystem(file)
	}
	return result
}

// awaitFileSystem returns once a file's file system takes writes: it writes
// nothing to the file, which waits all the same. A file that may only be read
// refuses that, and is not waited for.
func awaitFileSystem(file uintptr) {
	descriptor := at[sqlite3.TunixFile](file).Fh
	_, _, _ = unix.Syscall6(unix.SYS_PWRITE64, uintptr(descriptor), 0, 0, 0, 0, 0)
}
