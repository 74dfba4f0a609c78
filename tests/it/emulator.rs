//! A machine for kernels that is a CPU: the kernels' source compiled by g++ with `tests/emulator/emulator.h`.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use half::bf16;
use regex::Regex;
use ultrapack::error::{Error, Result};
use ultrapack::kernel::products::{Matrices, Product};
use ultrapack::kernel::{Address, Call, Element, Machine, Program};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}
const RTLD_NOW: c_int = 2;

type Allocate = unsafe extern "C" fn(u64) -> *mut c_void;
type Launch = unsafe extern "C" fn(*const c_char, *const u32, u32, u32, *const u64, u32, *mut u64) -> c_int;

/// Whether there is a compiler; without one the tests of the kernels say so and pass.
pub(crate) fn compiler() -> Option<String> {
    let cxx = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let answers = Command::new(&cxx)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    answers.then_some(cxx)
}

/// The library of one program.
struct Library {
    allocate: Allocate,
    launch: Launch,
}

/// Programs are compiled when they are first called, into `directory`.
pub(crate) struct Emulator {
    directory: PathBuf,
    edit: Box<dyn Fn(String) -> String>,
    programs: HashMap<Program, Library>,
    /// Launches so far, by kernel.
    pub(crate) launched: HashMap<&'static str, u32>,
}

impl Emulator {
    /// `edit` sees each program's source before it is compiled.
    pub(crate) fn new(directory: &Path, edit: impl Fn(String) -> String + 'static) -> Self {
        Self {
            directory: directory.to_owned(),
            edit: Box::new(edit),
            programs: HashMap::new(),
            launched: HashMap::new(),
        }
    }

    fn library(&mut self, program: Program) -> &Library {
        let Self {
            directory,
            edit,
            programs,
            ..
        } = self;
        programs
            .entry(program)
            .or_insert_with(|| compile(directory, edit, program))
    }
}

/// The names of a program's kernels, as its source declares them.
pub(crate) fn kernels(source: &str) -> Vec<String> {
    let declared = Regex::new(r"(?m)^KERNEL\(\d+, \d+\) (\w+)\(").unwrap();
    declared.captures_iter(source).map(|c| c[1].to_owned()).collect()
}

fn compile(directory: &Path, edit: &dyn Fn(String) -> String, program: Program) -> Library {
    let kernels_source = edit(program.kernels());
    let cases: String = kernels(&kernels_source)
        .iter()
        .map(|name| {
            format!("    if (!strcmp(name, \"{name}\")) return emulator::call({name}, arguments, n);\n")
        })
        .collect();
    let source = format!(
        "{}#include \"emulator.h\"\n{kernels_source}\nstatic bool dispatch(const char *name, const u64 *arguments, u32 n) {{\n\
         {cases}    return false;\n}}\n",
        program.defines(),
    );
    let (cc, so) = (
        directory.join(format!("{}.cc", program.name())),
        directory.join(format!("{}.so", program.name())),
    );
    fs::write(&cc, source).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator");
    // The fibres jump from stack to stack, which a fortified longjmp forbids.
    let flags = "-std=c++17 -O1 -shared -fPIC -w -U_FORTIFY_SOURCE -fno-strict-aliasing -I";
    let done = Command::new(compiler().expect("the caller has looked"))
        .args(flags.split(' '))
        .args([include.as_path(), cc.as_path(), Path::new("-o"), so.as_path()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let path = CString::new(so.to_str().unwrap()).unwrap();
    // SAFETY: the library was compiled a moment ago from emulator.h, which declares the two functions with these
    // types; it is never closed.
    unsafe {
        let library = dlopen(path.as_ptr(), RTLD_NOW);
        assert!(!library.is_null(), "{} does not load", so.display());
        Library {
            allocate: std::mem::transmute::<*mut c_void, Allocate>(dlsym(
                library,
                c"emulator_allocate".as_ptr(),
            )),
            launch: std::mem::transmute::<*mut c_void, Launch>(dlsym(library, c"emulator_launch".as_ptr())),
        }
    }
}

fn failed(message: String) -> Error {
    Error::usage(message)
}

impl Machine for Emulator {
    fn upload(&mut self, bytes: &[u8]) -> Result<Address> {
        let library = self.library(Program::ALL[0]);
        // SAFETY: the emulator gives room for as many bytes as it is asked for, and keeps it.
        unsafe {
            let to = (library.allocate)(bytes.len() as u64).cast::<u8>();
            assert!(!to.is_null(), "no memory");
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Ok(Address(to as u64))
        }
    }

    fn run(&mut self, call: &Call) -> Result<()> {
        *self.launched.entry(call.kernel).or_default() += 1;
        let bounds = format!("KERNEL({}, ", call.threads);
        let declared = call
            .program
            .kernels()
            .lines()
            .any(|line| line.starts_with(&bounds) && line.contains(&format!(") {}(", call.kernel)));
        if !declared {
            return Err(failed(format!(
                "{} is not declared with {} threads",
                call.kernel, call.threads
            )));
        }
        let name = CString::new(call.kernel).unwrap();
        let grid = [call.grid[0], call.grid[1], 1];
        let mut conflicts = 0;
        let library = self.library(call.program);
        // SAFETY: the kernel runs on buffers that `upload` made; one that leaves them ends the process.
        let code = unsafe {
            (library.launch)(
                name.as_ptr(),
                grid.as_ptr(),
                call.threads,
                call.shared_bytes,
                call.arguments.as_ptr(),
                call.arguments.len() as u32,
                &raw mut conflicts,
            )
        };
        match (code, conflicts) {
            (0, 0) => Ok(()),
            (0, n) => Err(failed(format!("{}: {n} bank conflicts", call.kernel))),
            _ => Err(failed(format!("{} does not take these arguments", call.kernel))),
        }
    }

    fn multiply(&mut self, product: &Product) -> Result<()> {
        let Product {
            left,
            right,
            out,
            add,
            n,
        } = product;
        let place = |m: &Matrices, batch: usize, row: usize, column: usize| {
            let (row, column) = if m.transposed {
                (column, row)
            } else {
                (row, column)
            };
            Address(m.start.0).offset((batch * m.stride + row * m.row_stride + column) * m.element.bytes())
        };
        let get = |element: Element, at: Address| {
            // SAFETY: an element of a buffer that `upload` made; one that leaves it ends the process.
            match element {
                Element::Bf16 => unsafe { (at.0 as *const bf16).read() }.to_f32(),
                Element::F32 => unsafe { (at.0 as *const f32).read() },
            }
        };
        assert_eq!(
            (left.rows, right.columns, left.columns),
            (out.rows, out.columns, right.rows)
        );
        for batch in 0..*n {
            for (row, column) in (0..out.rows).flat_map(|r| (0..out.columns).map(move |c| (r, c))) {
                let to = place(out, batch, row, column);
                let before = if *add { get(out.element, to) } else { 0.0 };
                let terms = (0..left.columns).map(|k| {
                    get(left.element, place(left, batch, row, k))
                        * get(right.element, place(right, batch, k, column))
                });
                let sum = before + terms.sum::<f32>();
                // SAFETY: as above.
                match out.element {
                    Element::Bf16 => unsafe { (to.0 as *mut bf16).write(bf16::from_f32(sum)) },
                    Element::F32 => unsafe { (to.0 as *mut f32).write(sum) },
                }
            }
        }
        Ok(())
    }

    fn download(&mut self, from: Address, n: usize) -> Result<Vec<u8>> {
        // SAFETY: `from` is a buffer that `upload` made, of at least `n` bytes: the checks read what they put there.
        Ok(unsafe { std::slice::from_raw_parts(from.0 as *const u8, n) }.to_vec())
    }
}
