// SPDX-License-Identifier: GPL-2.0

//! Prints a C file that compiles only if the layouts are those of the kernel's `mlx5_ifc.h`.

use connectx_firmware::layout::LAYOUTS;

fn main() {
    println!("typedef unsigned char u8;");
    println!("#define BIT(n) (1UL << (n))");
    println!("#define BIT_ULL(n) (1ULL << (n))");
    println!("#define DECLARE_FLEX_ARRAY(type, name) type name[0]");
    println!("#include <linux/mlx5/mlx5_ifc.h>");
    println!("#define MEMBER(s, f) (((struct mlx5_ifc_##s##_bits *)0)->f)");
    println!("#define OFFSET(s, f) __builtin_offsetof(struct mlx5_ifc_##s##_bits, f)");
    let mut count = 0;
    for layout in LAYOUTS.iter().copied().flatten() {
        let name = layout.name;
        println!(
            "_Static_assert(sizeof(struct mlx5_ifc_{name}_bits) == {}, \"{name}\");",
            layout.size * 8
        );
        for (field, (bit, width)) in layout.fields {
            // An array of bits is as long as it is; a field that only begins there may be anything.
            let same = match width {
                0 | 64 => String::new(),
                width => format!(" && sizeof(MEMBER({name}, {field})) == {width}"),
            };
            println!("_Static_assert(OFFSET({name}, {field}) == {bit}{same}, \"{name}.{field}\");");
            count += 1;
        }
    }
    eprintln!("{count} fields");
}
