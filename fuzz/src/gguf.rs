//! Writing small GGUF files.

const ALIGNMENT: usize = 32;

/// A metadata value of one of the types that the engine reads.
pub enum Value<'a> {
    Bool(bool),
    U32(u32),
    F32(f32),
    Text(&'a str),
    Texts(Vec<&'a str>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A file in the making.
#[derive(Default)]
pub struct GgufWriter {
    keys: (u64, Vec<u8>),
    tensors: (u64, Vec<u8>),
    data: Vec<u8>,
}

impl GgufWriter {
    pub fn key(&mut self, name: &str, value: Value<'_>) {
        let (count, out) = &mut self.keys;
        *count += 1;
        put_text(out, name);
        put_value(out, value);
    }

    /// A matrix, or a vector where `rows` is 0, of a ggml type with its bytes.
    pub fn tensor(&mut self, name: &str, rows: u64, cols: u64, ty: u32, bytes: &[u8]) {
        let (count, out) = &mut self.tensors;
        *count += 1;
        put_text(out, name);
        let dims = if rows == 0 { vec![cols] } else { vec![cols, rows] };
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.extend(ty.to_le_bytes());
        out.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
        pad(&mut self.data);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.tensors.0.to_le_bytes());
        file.extend(self.keys.0.to_le_bytes());
        file.extend(&self.keys.1);
        file.extend(&self.tensors.1);
        pad(&mut file);
        file.extend(&self.data);
        file
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    let array = |out: &mut Vec<u8>, element: u32, len: usize| {
        out.extend(9_u32.to_le_bytes());
        out.extend(element.to_le_bytes());
        out.extend((len as u64).to_le_bytes());
    };
    match value {
        Value::U32(number) => out.extend([4, number].map(u32::to_le_bytes).concat()),
        Value::F32(number) => out.extend([6, number.to_bits()].map(u32::to_le_bytes).concat()),
        Value::Bool(value) => {
            out.extend(7_u32.to_le_bytes());
            out.push(u8::from(value));
        }
        Value::Text(text) => {
            out.extend(8_u32.to_le_bytes());
            put_text(out, text);
        }
        Value::Texts(texts) => {
            array(out, 8, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
        Value::I32s(numbers) => {
            array(out, 5, numbers.len());
            numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        }
        Value::F32s(numbers) => {
            array(out, 6, numbers.len());
            numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        }
    }
}
