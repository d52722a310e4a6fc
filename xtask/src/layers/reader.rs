//! Reads Rust files, and notes which names each module defines and uses.
//!
//! **Elsewhere**: what a name stands for is found out in [`super::names`], once the whole
//! crate is read.
//!
//! **Always**: the body of a macro call is read as a row of tokens, because nobody knows its
//! grammar: paths, strings and calls of methods in it count, declarations do not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Expr, ExprField, FnArg, ImplItem, Item, ItemMod, ItemStruct, Lit, Member, Pat, Signature, Type,
    UnOp, UseTree, Visibility,
};

use super::conditions::{of_impl_item, of_item, of_statement, of_trait_item, only_in_tests};
use super::source::{
    Field, FileId, Literal, Mention, Method, Module, ModuleId, Reach, Source, Use,
};

/// Reads one library or program into a [`Source`].
pub struct Reader<'s> {
    source: &'s mut Source,
    src: &'s Path,
    file: FileId,
    module: ModuleId,
    /// The folder in which files of this module's modules lie.
    folder: PathBuf,
    /// The type of the `impl` around.
    of: Option<Vec<String>>,
    /// The types of the parameters of the functions around, the innermost last.
    parameters: Vec<BTreeMap<String, Vec<String>>>,
    /// The first thing that went wrong.
    failed: Option<anyhow::Error>,
}

impl<'s> Reader<'s> {
    /// Begins nowhere; `src` is the folder that paths are relative to.
    pub fn new(source: &'s mut Source, src: &'s Path) -> Self {
        Self {
            source,
            src,
            file: 0,
            module: 0,
            folder: src.to_path_buf(),
            of: None,
            parameters: Vec::new(),
            failed: None,
        }
    }

    /// Reads the file in which a library or program begins, and all files that it declares.
    pub fn root(mut self, path: &Path) -> Result<ModuleId> {
        let folder = path.parent().unwrap_or(self.src).to_path_buf();
        let module = self.read_file(path, folder, None)?;
        match self.failed {
            Some(error) => Err(error),
            None => Ok(module),
        }
    }

    fn read_file(
        &mut self,
        path: &Path,
        folder: PathBuf,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId> {
        let code = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = syn::parse_file(&code)
            .with_context(|| format!("{} is not valid Rust", path.display()))?;
        let below_src = path.strip_prefix(self.src).unwrap_or(path);
        let below_src: Vec<_> = below_src
            .iter()
            .map(|part| part.to_string_lossy())
            .collect();
        let file = self.source.file(below_src.join("/"));
        let module = self.add_module(file, parent);
        self.within(file, module, folder, &parsed.items);
        Ok(module)
    }

    fn add_module(&mut self, file: FileId, parent: Option<ModuleId>) -> ModuleId {
        self.source.modules.push(Module {
            file,
            parent,
            ..Module::default()
        });
        self.source.modules.len() - 1
    }

    /// Reads `items` as those of another module, and returns to this one.
    fn within(&mut self, file: FileId, module: ModuleId, folder: PathBuf, items: &[Item]) {
        let outer = (self.file, self.module);
        let outer_folder = std::mem::replace(&mut self.folder, folder);
        (self.file, self.module) = (file, module);
        for item in items {
            self.visit_item(item);
        }
        (self.file, self.module) = outer;
        self.folder = outer_folder;
    }

    /// A `mod`: its code stands here, or in a file of its own.
    fn read_module(&mut self, declared: &ItemMod) -> Result<()> {
        let name = plain(&declared.ident);
        let folder = self.folder.join(&name);
        let module = if let Some((_, items)) = &declared.content {
            let module = self.add_module(self.file, Some(self.module));
            self.within(self.file, module, folder, items);
            module
        } else {
            let places = match path_attribute(declared) {
                Some(path) => vec![self.folder.join(path)],
                None => vec![
                    self.folder.join(format!("{name}.rs")),
                    folder.join("mod.rs"),
                ],
            };
            let Some(path) = places.into_iter().find(|path| path.is_file()) else {
                bail!("module {name} in {} has no file", self.folder.display());
            };
            self.read_file(&path, folder, Some(self.module))?
        };
        self.here(|here| here.children.insert(name, module));
        Ok(())
    }

    /// Notes something in the module that is being read.
    fn here<R>(&mut self, note: impl FnOnce(&mut Module) -> R) {
        if let Some(module) = self.source.modules.get_mut(self.module) {
            note(module);
        }
    }

    fn define(&mut self, name: &Ident) {
        let name = plain(name);
        self.here(|here| here.items.insert(name));
    }

    /// Notes a path; `Self` at its start is the type of the `impl` around.
    fn mention(&mut self, mut path: Vec<String>, line: usize) {
        if path.first().is_some_and(|first| first == "Self") {
            let Some(of) = &self.of else { return };
            path.splice(..1, of.iter().cloned());
        }
        self.here(|here| here.mentions.push(Mention { path, line }));
    }

    /// Notes what is reached from a variable.
    fn reach(&mut self, path: FieldPath, method: Option<&Ident>) {
        let parameters = self.parameters.last();
        let of = match path.variable.as_str() {
            "self" => self.of.clone(),
            name => parameters.and_then(|types| types.get(name)).cloned(),
        };
        let Some(of) = of else { return };
        let reach = Reach {
            of,
            fields: path.fields,
            method: method.map(plain),
            line: path.line,
        };
        self.here(|here| here.reaches.push(reach));
    }

    fn literal(&mut self, value: String, span: Span) {
        self.source.literals.push(Literal {
            file: self.file,
            line: line(span),
            value,
        });
    }

    /// The fields of a struct.
    fn read_fields(&mut self, item: &ItemStruct) {
        for field in &item.fields {
            let Some(name) = &field.ident else { continue };
            if only_in_tests(&field.attrs) {
                continue;
            }
            let mut types = TypeNames::default();
            types.visit_type(&field.ty);
            let field = Field {
                of: plain(&item.ident),
                name: plain(name),
                types: types.0,
            };
            self.here(|here| here.fields.push(field));
        }
    }

    /// The names of a `use`, each with its whole path.
    fn read_use(&mut self, tree: &UseTree, before: &[String], is_public: bool) {
        let mut path = before.to_vec();
        let (name, at) = match tree {
            UseTree::Path(tree) => {
                path.push(plain(&tree.ident));
                return self.read_use(&tree.tree, &path, is_public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.read_use(tree, before, is_public);
                }
                return;
            }
            UseTree::Name(tree) => {
                if tree.ident != "self" {
                    path.push(plain(&tree.ident));
                }
                (path.last().cloned(), tree.ident.span())
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    path.push(plain(&tree.ident));
                }
                (Some(plain(&tree.rename)), tree.rename.span())
            }
            UseTree::Glob(tree) => (None, tree.star_token.spans[0]),
        };
        self.here(|here| {
            here.uses.push(Use {
                name,
                path,
                is_public,
                line: line(at),
            });
        });
    }

    /// Reads the body of a function whose parameters have these types.
    fn with_parameters(&mut self, signature: &Signature, read: impl FnOnce(&mut Self)) {
        let types = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => Some((plain(&name.ident), named_type(&typed.ty)?)),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        });
        self.parameters.push(types.collect());
        read(self);
        self.parameters.pop();
    }

    /// Reads the body of a macro call.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_mark = |at: usize, mark: char| match tokens.get(at) {
            Some(TokenTree::Punct(punct)) => punct.as_char() == mark,
            _ => false,
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal.clone()) {
                        self.literal(text.value(), text.span());
                    }
                }
                TokenTree::Punct(_) => {}
                TokenTree::Ident(first) => {
                    let before = at.checked_sub(1);
                    let follows = |mark| before.is_some_and(|before| is_mark(before, mark));
                    let is_variable = follows('$') && first != "crate";
                    let is_name = !is_variable && !follows('.') && !follows('\'');
                    let mut path = vec![plain(first)];
                    while is_mark(at + 1, ':') && is_mark(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else {
                            break;
                        };
                        path.push(plain(next));
                        at += 3;
                    }
                    let called = match (tokens.get(at + 2), tokens.get(at + 3)) {
                        (Some(TokenTree::Ident(method)), Some(TokenTree::Group(group)))
                            if is_mark(at + 1, '.')
                                && group.delimiter() == Delimiter::Parenthesis =>
                        {
                            Some(method)
                        }
                        _ => None,
                    };
                    match (called, path.as_slice()) {
                        _ if !is_name => {}
                        (Some(method), [variable]) => {
                            let path = FieldPath {
                                variable: variable.clone(),
                                fields: Vec::new(),
                                line: line(method.span()),
                            };
                            self.reach(path, Some(method));
                        }
                        _ => self.mention(path, line(first.span())),
                    }
                }
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_in_tests(of_item(item)) {
            return;
        }
        match item {
            Item::Const(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Struct(item) => {
                self.define(&item.ident);
                self.read_fields(item);
            }
            Item::Trait(item) => self.define(&item.ident),
            Item::TraitAlias(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            Item::Union(item) => self.define(&item.ident),
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    self.define(name);
                }
            }
            Item::Mod(item) => {
                if let Err(error) = self.read_module(item) {
                    self.failed.get_or_insert(error);
                }
                return;
            }
            Item::Use(item) => {
                if item.leading_colon.is_none() {
                    let is_public = !matches!(item.vis, Visibility::Inherited);
                    self.read_use(&item.tree, &[], is_public);
                }
                return;
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = named_type(&item.self_ty);
        if let (Some(of), None) = (&of, &item.trait_) {
            for part in &item.items {
                if let ImplItem::Fn(method) = part
                    && !only_in_tests(&method.attrs)
                {
                    let name = plain(&method.sig.ident);
                    let of = of.clone();
                    self.here(|here| here.methods.push(Method { of, name }));
                }
            }
        }
        let outer = std::mem::replace(&mut self.of, of);
        visit::visit_item_impl(self, item);
        self.of = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.with_parameters(&item.sig, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.with_parameters(&item.sig, |reader| visit::visit_impl_item_fn(reader, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.with_parameters(&item.sig, |reader| visit::visit_trait_item_fn(reader, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !only_in_tests(of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast syn::TraitItem) {
        if !only_in_tests(of_trait_item(item)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        if !only_in_tests(of_statement(statement)) {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !only_in_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !only_in_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !only_in_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !only_in_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        match FieldPath::of(&call.receiver) {
            Some(path) => self.reach(path, Some(&call.method)),
            None => self.visit_expr(&call.receiver),
        }
        if let Some(generics) = &call.turbofish {
            self.visit_angle_bracketed_generic_arguments(generics);
        }
        for argument in &call.args {
            self.visit_expr(argument);
        }
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        match FieldPath::of_field(field) {
            Some(path) => self.reach(path, None),
            None => visit::visit_expr_field(self, field),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|part| plain(&part.ident));
            self.mention(names.collect(), line(first.ident.span()));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        visit::visit_macro(self, called);
        self.read_tokens(called.tokens.clone());
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.literal(text.value(), text.span());
    }

    /// Documentation is an attribute too, and no code.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    /// `pub(in path)` says who may use something, and uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// A variable and fields that follow it: `turn.live.links`.
struct FieldPath {
    variable: String,
    fields: Vec<String>,
    line: usize,
}

impl FieldPath {
    fn of(expression: &Expr) -> Option<Self> {
        match expression {
            Expr::Path(path) => {
                let variable = path.path.get_ident()?;
                Some(Self {
                    variable: plain(variable),
                    fields: Vec::new(),
                    line: line(variable.span()),
                })
            }
            Expr::Field(field) => Self::of_field(field),
            Expr::Paren(inner) => Self::of(&inner.expr),
            Expr::Reference(inner) => Self::of(&inner.expr),
            Expr::Unary(inner) if matches!(inner.op, UnOp::Deref(_)) => Self::of(&inner.expr),
            _ => None,
        }
    }

    fn of_field(field: &ExprField) -> Option<Self> {
        let mut path = Self::of(&field.base)?;
        let Member::Named(name) = &field.member else {
            return None;
        };
        path.fields.push(plain(name));
        Some(path)
    }
}

/// The names of a type and of the types inside it.
#[derive(Default)]
struct TypeNames(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for TypeNames {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let parts = path.segments.iter();
            self.0.push(parts.map(|part| plain(&part.ident)).collect());
        }
        visit::visit_path(self, path);
    }
}

/// The name of a type, behind any references; `None` for types without one.
fn named_type(of: &Type) -> Option<Vec<String>> {
    match of {
        Type::Reference(reference) => named_type(&reference.elem),
        Type::Paren(inner) => named_type(&inner.elem),
        Type::Group(inner) => named_type(&inner.elem),
        Type::Path(named) if named.qself.is_none() && named.path.leading_colon.is_none() => {
            let parts = named.path.segments.iter();
            Some(parts.map(|part| plain(&part.ident)).collect())
        }
        _ => None,
    }
}

/// The file that `#[path = "…"]` names.
fn path_attribute(declared: &ItemMod) -> Option<String> {
    declared.attrs.iter().find_map(|attribute| {
        let named = attribute.meta.require_name_value().ok()?;
        match &named.value {
            Expr::Lit(value) if named.path.is_ident("path") => match &value.lit {
                Lit::Str(path) => Some(path.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

/// A name without `r#`.
fn plain(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

fn line(span: Span) -> usize {
    span.start().line
}
