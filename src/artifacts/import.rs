//! Models that come from elsewhere: files Lethe wrote, here or on another server, and safetensors of other programs with
//! tensors of the same names and shapes.

use super::file::Read;
use super::model::{n_features, network, widths};
use super::{Artifact, Model};
use crate::data::InputSpec;
use crate::nn::Shape;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Classes of an imported model, at most: an answer to thousands of rows names each of them for each row.
const MAX_CLASSES: usize = 1_024;
/// Values of a row, or units of a layer, at most, as in training. So a layer's padding in memory, by which the network
/// may be larger than its file, stays below 4 MiB.
const MAX_WIDTH: usize = 65_536;
/// What the `format` of every file of Lethe's begins with.
const OURS: &str = "lethe.";

/// How the values of a row are laid out, where the file does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Floats, taken as they are.
    Vector,
    /// The same, each with a name, by which rows may be given.
    Columns(Vec<String>),
    /// Grey bytes, scaled by 1/255.
    Image { height: u32, width: u32 },
}

impl FromStr for Layout {
    type Err = String;

    /// `vector`, alone or with the names of its columns, `vector:age,height`; or `image:` and a size, `image:28x28`: height
    /// first.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(names) = text.strip_prefix("vector:") {
            let names: Vec<String> = names.split(',').map(str::to_owned).collect();
            let n_different = names.iter().collect::<BTreeSet<_>>().len();
            return if names.iter().any(String::is_empty) || n_different < names.len() {
                Err(format!(
                    "must name every column, each differently, as in `vector:age,height`; not `{text}`"
                ))
            } else {
                Ok(Self::Columns(names))
            };
        }
        let size = |text: &str| text.parse().ok().filter(|&size: &u32| size > 0);
        let image = text.strip_prefix("image:").and_then(|sizes| sizes.split_once('x'));
        let image = image
            .and_then(|(height, width)| Some(Self::Image { height: size(height)?, width: size(width)? }));
        match image {
            _ if text == "vector" => Ok(Self::Vector),
            Some(image) => Ok(image),
            None => Err(format!(
                "must be `vector`, `vector:age,height` or a size like `image:28x28`, not `{text}`"
            )),
        }
    }
}

/// Why a file is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("the file cannot be imported: {0}")]
    File(String),
    /// Of the layout given beside the file, or not given.
    #[error("{0}")]
    Layout(String),
}

/// Reads a file, trusting nothing in it. One of Lethe's says itself what its rows and classes are. Of another
/// `layout` says what a row is, its classes are called by their numbers, and its logits are not clipped.
///
/// # Errors
///
/// If it is not a network such as Lethe computes, is too large, or `layout` is not what it takes.
pub fn import(bytes: &[u8], layout: Option<Layout>) -> Result<Model, ImportError> {
    let file = Read::of_any_format(bytes).map_err(ImportError::File)?;
    let shape = Shape { widths: widths(&file).map_err(ImportError::File)?, output_relu: false };
    // before anything of that size is allocated
    check_size(&shape).map_err(ImportError::File)?;
    let is_ours = file.metadata().get("format").is_some_and(|format| format.starts_with(OURS));
    match (is_ours, layout) {
        (true, None) => Model::decode(bytes).map_err(ImportError::File),
        (true, Some(_)) => Err(ImportError::Layout("must be left out: the file says it itself".into())),
        (false, None) => {
            let detail = "must say what a row is, `vector` or as in `image:28x28`, for the file does not";
            Err(ImportError::Layout(detail.into()))
        }
        (false, Some(layout)) => foreign(&file, shape, layout),
    }
}

fn check_size(shape: &Shape) -> Result<(), String> {
    let bounds = [
        ("classes", shape.n_classes(), MAX_CLASSES),
        ("values or units in its widest layer", shape.widths.iter().copied().max().unwrap_or(0), MAX_WIDTH),
    ];
    match bounds.into_iter().find(|(_, found, most)| found > most) {
        Some((what, found, most)) => Err(format!("it has {found} {what}; at most {most} are served")),
        None => Ok(()),
    }
}

fn foreign(file: &Read<'_>, shape: Shape, layout: Layout) -> Result<Model, ImportError> {
    let input = match layout {
        Layout::Vector => InputSpec::Vector { n_features: shape.n_features() as u32, columns: None },
        Layout::Columns(names) => InputSpec::Vector { n_features: names.len() as u32, columns: Some(names) },
        Layout::Image { height, width } => InputSpec::Image { height, width },
    };
    let (asked, taken) = (n_features(&input), shape.n_features() as u64);
    if asked != taken {
        let detail = format!("has {asked} values, but the file's first layer takes {taken}");
        return Err(ImportError::Layout(detail));
    }
    Ok(Model {
        class_names: (0..shape.n_classes()).map(|class| class.to_string()).collect(),
        mlp: network(file, shape).map_err(ImportError::File)?,
        input,
        lineage: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::{Tensor, write};
    use super::*;
    use crate::nn::Mlp;

    fn tensor(name: &str, shape: &[usize]) -> Tensor {
        let n_numbers: usize = shape.iter().product();
        Tensor { name: name.into(), shape: shape.to_vec(), numbers: vec![0.5; n_numbers] }
    }

    /// Layers of these widths, as another program would write them.
    fn elsewhere(widths: &[usize]) -> Vec<Tensor> {
        let layers = widths.windows(2).enumerate();
        let tensors = layers.flat_map(|(l, w)| {
            [
                tensor(&format!("layers.{l}.weight"), &[w[1], w[0]]),
                tensor(&format!("layers.{l}.bias"), &[w[1]]),
            ]
        });
        tensors.collect()
    }

    fn file(tensors: Vec<Tensor>) -> Vec<u8> {
        write(&BTreeMap::from([("format".into(), "pt".into())]), tensors)
    }

    fn layout(text: &str) -> Option<Layout> {
        Some(text.parse().unwrap())
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], why: &str) {
        match import(bytes, layout("vector")) {
            Err(ImportError::File(error)) => assert!(error.contains(why), "{error}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_of_another_program_is_a_network_once_its_rows_are_known() {
        let bytes = file(elsewhere(&[6, 4, 3]));
        let model = import(&bytes, layout("image:2x3")).unwrap();
        assert_eq!(model.input, InputSpec::Image { height: 2, width: 3 });
        assert_eq!(model.class_names, ["0", "1", "2"]);
        assert_eq!(model.mlp.shape(), &Shape { widths: vec![6, 4, 3], output_relu: false });
        assert!(model.mlp.to_params().iter().all(|&number| number == 0.5));
        let vector = import(&bytes, layout("vector")).unwrap();
        assert_eq!(vector.input, InputSpec::Vector { n_features: 6, columns: None });
        let table = import(&bytes, layout("vector:a,b,c,d,e,f")).unwrap();
        assert_eq!(table.input.columns().unwrap(), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(Model::decode(&table.encode()).unwrap(), table, "the names are in the file");
    }

    #[test]
    fn a_file_of_ours_says_itself_what_it_is() {
        let ours = Model {
            mlp: Mlp::zeroed(Shape { widths: vec![4, 2], output_relu: true }),
            input: InputSpec::Image { height: 2, width: 2 },
            class_names: vec!["cat".into(), "dog".into()],
            lineage: BTreeMap::from([("run".into(), "r".into())]),
        };
        let bytes = ours.encode();
        let imported = import(&bytes, None).unwrap();
        assert_eq!(imported, ours);
        assert_eq!(imported.encode(), bytes, "its digest stays");
        let refused = import(&bytes, layout("image:2x2"));
        assert!(matches!(refused, Err(ImportError::Layout(detail)) if detail.contains("left out")));
    }

    #[test]
    fn rows_that_do_not_fit_or_are_unknown_are_refused() {
        let bytes = file(elsewhere(&[6, 3]));
        for (layout, why) in [
            (None, "must say what a row is"),
            (layout("image:3x3"), "has 9 values, but the file's first layer takes 6"),
            (layout("vector:age,height"), "has 2 values, but the file's first layer takes 6"),
            (layout("image:4294967295x4294967295"), "the file's first layer takes 6"),
        ] {
            match import(&bytes, layout) {
                Err(ImportError::Layout(detail)) => assert!(detail.contains(why), "{detail}"),
                other => panic!("{other:?}"),
            }
        }
        for text in ["", "image", "image:", "image:28", "image:0x28", "image:28x", "image:-1x2", "vectors"] {
            assert!(text.parse::<Layout>().unwrap_err().contains("image:28x28"), "{text}");
        }
        for text in ["vector:", "vector:a,", "vector:a,,b", "vector:a,b,a"] {
            assert!(text.parse::<Layout>().unwrap_err().contains("each differently"), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_network_is_refused() {
        let bytes = file(elsewhere(&[6, 4, 3]));
        for keep in [0, 7, 8, 100, bytes.len() - 1] {
            assert!(import(&bytes[..keep], layout("vector")).is_err(), "{keep}");
        }
        check_refused(b"not a safetensors file at all", "its header claims");
        check_refused(&file(vec![]), "0 tensors");
        check_refused(&file(vec![tensor("a", &[2, 2]), tensor("b", &[2])]), "no tensor `layers.0.weight`");

        let mut gap = elsewhere(&[6, 4, 3]);
        gap[2].shape = vec![3, 2];
        gap[2].numbers.truncate(6);
        check_refused(&file(gap), "layer 1 takes 2 values, the one before gives 4");
        let mut bias = elsewhere(&[6, 3]);
        bias[1] = tensor("layers.0.bias", &[2]);
        check_refused(&file(bias), "`layers.0.bias` has the shape [2], not [3]");
        let mut cube = elsewhere(&[6, 3]);
        cube[0].shape = vec![3, 3, 2];
        check_refused(&file(cube), "has 3 dimensions, not 2");
        for bad in [f32::NAN, f32::INFINITY] {
            let mut numbers = elsewhere(&[6, 3]);
            numbers[0].numbers[4] = bad;
            check_refused(&file(numbers), "not finite");
        }
        let mut text = String::from_utf8(bytes).unwrap();
        text = text.replace("\"F32\"", "\"I32\"");
        check_refused(text.as_bytes(), "holds I32, not F32");
    }

    #[test]
    fn a_network_too_large_to_serve_is_refused_before_it_is_built() {
        check_refused(&file(elsewhere(&[1, MAX_CLASSES + 1])), "1025 classes; at most 1024");
        check_refused(&file(elsewhere(&[1, MAX_WIDTH + 1, 2])), "65537 values or units");
    }
}
