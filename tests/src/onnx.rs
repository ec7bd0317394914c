//! Small ONNX graphs, written byte by byte: networks of other shapes than those that set-up brings.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

/// A graph over one picture `x`, in opset 11.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: Vec<Vec<u8>>,
    input: Vec<u8>,
    outputs: Vec<Vec<u8>>,
}

impl Graph {
    /// A graph that takes 1 × 3 × height × width.
    pub fn of_picture(height: u64, width: u64) -> Self {
        Self { nodes: Vec::new(), input: tensor("x", &[1, 3, height, width]), outputs: Vec::new() }
    }

    /// The mean of each patch of `height` × `width`.
    #[must_use]
    pub fn pool(self, from: &str, to: &str, height: u64, width: u64) -> Self {
        let patch = [height, width];
        self.node("AveragePool", from, to, &[integers("kernel_shape", &patch), integers("strides", &patch)])
    }

    /// All numbers in a row.
    #[must_use]
    pub fn flatten(self, from: &str, to: &str) -> Self {
        self.node("Flatten", from, to, &[])
    }

    /// Without an axis of one.
    #[must_use]
    pub fn squeeze(self, from: &str, to: &str, axis: u64) -> Self {
        self.node("Squeeze", from, to, &[integers("axes", &[axis])])
    }

    /// Shares of a whole over the last axis of three.
    #[must_use]
    pub fn softmax(self, from: &str, to: &str) -> Self {
        self.node("Softmax", from, to, &[integer("axis", 2)])
    }

    /// Gives a tensor out.
    #[must_use]
    pub fn output(mut self, name: &str, shape: &[u64]) -> Self {
        self.outputs.push(tensor(name, shape));
        self
    }

    /// Writes it to `<dir>/<file>`; its path and its sha256.
    pub fn write(&self, dir: &Path, file: &str) -> std::io::Result<(PathBuf, String)> {
        let mut graph: Vec<u8> = self.nodes.iter().flat_map(|node| part(1, node)).collect();
        graph.extend(part(2, b"graph"));
        graph.extend(part(11, &self.input));
        graph.extend(self.outputs.iter().flat_map(|output| part(12, output)));
        let opset = number(2, 11);
        let model = [number(1, 6), part(7, &graph), part(8, &opset)].concat();
        let path = dir.join(file);
        std::fs::write(&path, &model)?;
        Ok((path, digest(&SHA256, &model).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    fn node(mut self, kind: &str, from: &str, to: &str, attributes: &[Vec<u8>]) -> Self {
        let attributes = attributes.iter().flat_map(|attribute| part(5, attribute)).collect();
        let named = [part(1, from.as_bytes()), part(2, to.as_bytes()), part(4, kind.as_bytes()), attributes];
        self.nodes.push(named.concat());
        self
    }
}

/// `ValueInfoProto` of float32.
fn tensor(name: &str, shape: &[u64]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|d| part(1, &number(1, *d))).collect();
    let of_floats = [number(1, 1), part(2, &shape)].concat();
    [part(1, name.as_bytes()), part(2, &part(1, &of_floats))].concat()
}

/// `AttributeProto` of integers.
fn integers(name: &str, values: &[u64]) -> Vec<u8> {
    let values = values.iter().flat_map(|value| number(8, *value)).collect();
    [part(1, name.as_bytes()), values, number(20, 7)].concat()
}

fn integer(name: &str, value: u64) -> Vec<u8> {
    [part(1, name.as_bytes()), number(3, value), number(20, 2)].concat()
}

/// A field of protocol buffers that holds a number.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field that holds bytes.
fn part(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
