//! One ONNX session: token ids in, rows of numbers out.

use std::borrow::Cow;

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

/// A model in memory, for one thread.
pub(crate) struct Model {
    session: Session,
    inputs: Vec<(String, Input)>,
    pad: i64,
}

/// The inputs of the BERT family that we know how to fill.
#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
}

/// What the model said of one text: `tokens` rows of `width` numbers (padding left out), or one row for the whole text.
pub(crate) struct Row<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) width: usize,
}

impl Model {
    /// Builds a session from an ONNX graph. `threads` work on one run together; `pad` is the id that fills short rows.
    pub(crate) fn new(
        environment: &Environment,
        graph: &[u8],
        threads: usize,
        pad: u32,
    ) -> Result<Self, String> {
        let session = Session::builder(environment)
            .and_then(|builder| Ok(builder.with_intra_threads(threads.max(1))?))
            .and_then(|builder| Ok(builder.with_inter_threads(1)?))
            .and_then(|builder| Ok(builder.with_intra_op_spinning(false)?))
            .and_then(|mut builder| builder.commit_from_memory(graph))
            .map_err(|cause| cause.to_string())?;
        let inputs = session
            .inputs()
            .iter()
            .map(|input| match input.name() {
                "input_ids" => Ok((input.name().to_owned(), Input::Ids)),
                "attention_mask" => Ok((input.name().to_owned(), Input::Mask)),
                "token_type_ids" => Ok((input.name().to_owned(), Input::Types)),
                other => Err(format!("the model wants an input `{other}` that a text does not have")),
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok(Model { session, inputs, pad: i64::from(pad) })
    }

    /// Runs the texts together and gives each one's row to `each`, in order.
    pub(crate) fn run<T>(
        &mut self,
        texts: &[&[u32]],
        mut each: impl FnMut(Row<'_>) -> T,
    ) -> Result<Vec<T>, String> {
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let shape = [texts.len(), longest];
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for (name, input) in &self.inputs {
            let mut flat = Vec::with_capacity(texts.len() * longest);
            for ids in texts {
                match input {
                    Input::Ids => flat.extend(ids.iter().map(|id| i64::from(*id))),
                    Input::Mask => flat.extend(ids.iter().map(|_| 1)),
                    Input::Types => flat.extend(ids.iter().map(|_| 0)),
                }
                let fill = if matches!(input, Input::Ids) { self.pad } else { 0 };
                flat.resize(flat.len() + longest - ids.len(), fill);
            }
            let tensor = Tensor::from_array((shape, flat)).map_err(|cause| cause.to_string())?;
            values.push((Cow::Borrowed(name.as_str()), tensor.into()));
        }
        let outputs = self.session.run(values).map_err(|cause| cause.to_string())?;
        let (_, output) = outputs.iter().next().ok_or("the model has no output")?;
        let (shape, data) = output.try_extract_tensor::<f32>().map_err(|cause| cause.to_string())?;
        let sizes: Vec<usize> = shape.iter().filter_map(|size| usize::try_from(*size).ok()).collect();
        let (rows, width) = match *sizes.as_slice() {
            [batch, tokens, width] if batch == texts.len() && tokens == longest => (tokens, width),
            [batch, width] if batch == texts.len() => (1, width),
            _ => return Err(format!("the model's output has the shape {sizes:?}")),
        };
        let stride = rows * width;
        if stride == 0 || data.len() != stride * texts.len() {
            return Err(format!("the model's output has the shape {sizes:?}"));
        }
        let row = |(ids, whole): (&&[u32], &[f32])| {
            let own = whole.get(..rows.min(ids.len()) * width).unwrap_or(whole);
            each(Row { values: own, width })
        };
        Ok(texts.iter().zip(data.chunks_exact(stride).map(|chunk| chunk as &[f32])).map(row).collect())
    }
}
