//! Puts icon, name and version into the Windows program. Nothing on other systems.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=assets/photosync.ico");
    if std::env::var_os("CARGO_CFG_WINDOWS").is_none() {
        return;
    }
    let mut resource = winresource::WindowsResource::new();
    resource
        .set_icon("assets/photosync.ico")
        .set("ProductName", "PhotoSync")
        .set("FileDescription", "PhotoSync")
        .set("LegalCopyright", "MIT licence");
    if let Err(error) = resource.compile() {
        // The program does all it shall without; a machine without a resource compiler can still build it.
        println!("cargo:warning=the program gets no icon and no version: {error}");
    }
}
