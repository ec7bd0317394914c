//! ONNX Runtime: one environment a process, one session a worker, one thread a session.
//!
//! The library is loaded at run time from the data directory, with telemetry off. A [`Model`] may be used from any number
//! of worker threads: each call borrows an idle session and gives it back; a further session is made only when all are
//! busy, so there are never more than there were workers at once.

#[cfg(test)]
mod parity;
mod tiny;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, TensorRef};

use crate::models::{ModelError, ModelSpec, Provider, RuntimePaths, read_verified};

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The shared library is missing or not ONNX Runtime of this version.
    #[error("ONNX Runtime cannot be loaded from {path}; run `gatehouse setup`", path = .path.display())]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The shared library was built without what is to run the networks, or finds no such hardware.
    #[error(
        "ONNX Runtime at {library} cannot run networks on {provider}: set recognition.onnxruntime to a build that can, or \
         recognition.provider = \"cpu\" ({reason})",
        library = .library.display()
    )]
    Provider {
        /// The library.
        library: PathBuf,
        /// What was asked for.
        provider: &'static str,
        /// What the runtime said.
        reason: String,
    },
    /// The model's file cannot be used.
    #[error(transparent)]
    File(#[from] ModelError),
    /// The runtime refused the model.
    #[error("{field}: ONNX Runtime refuses model {model}: {reason}")]
    Load {
        /// The file by name, or the key of the configuration.
        field: String,
        /// Model id.
        model: String,
        /// What the runtime said.
        reason: String,
    },
    /// The runtime failed on an input.
    #[error("model {model} failed on an input of shape {shape:?}: {reason}")]
    Run {
        /// Model id.
        model: String,
        /// Shape given.
        shape: Vec<usize>,
        /// What the runtime said.
        reason: String,
    },
    /// The model's graph, or what it answered, is not what its stage needs.
    #[error("{field}: {problem}")]
    Unfit {
        /// The file by name, or the key of the configuration.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The process's one environment. The runtime allows no second one, so it lives until the process ends.
static ENVIRONMENT: OnceLock<(PathBuf, Environment)> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Loads the library, or gives the environment already loaded (whatever path it came from).
fn environment(library: &Path) -> Result<&'static Environment, OnnxError> {
    let failed = |reason: String| OnnxError::Library { path: library.to_owned(), reason };
    let _one_at_a_time = lock(&LOADING);
    if let Some((loaded, environment)) = ENVIRONMENT.get() {
        if loaded != library {
            tracing::debug!(loaded = %loaded.display(), asked = %library.display(), "ONNX Runtime is already loaded");
        }
        return Ok(environment);
    }
    // The loader aborts inside some versions of ort when the file is missing: look first.
    if !library.is_file() {
        return Err(failed("no such file".into()));
    }
    let environment = ort::init_from(library)
        .map_err(|error| failed(error.to_string()))?
        .with_name("gatehouse")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(&ENVIRONMENT.get_or_init(|| (library.to_owned(), environment)).1)
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its dimensions; 0 where the graph leaves one free.
    pub shape: Vec<usize>,
}

/// One model, ready for any worker thread.
pub struct Model {
    spec: ModelSpec,
    paths: RuntimePaths,
    environment: &'static Environment,
    idle: Mutex<Vec<Session>>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// What a run gave, borrowed from the session.
pub struct Outputs<'s> {
    model: &'s Model,
    values: SessionOutputs<'s>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("id", &self.spec.id).finish_non_exhaustive()
    }
}

impl Model {
    /// Verifies and loads a model and makes its first session. What its registry line says of its tensors must be true.
    pub fn open(spec: &ModelSpec, paths: &RuntimePaths) -> Result<Self, OnnxError> {
        let environment = environment(&paths.onnxruntime)?;
        let mut model = Self {
            spec: spec.clone(),
            paths: paths.clone(),
            environment,
            idle: Mutex::new(Vec::with_capacity(2)),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        let first = model.new_session()?;
        model.inputs = first.inputs().iter().map(port).collect();
        model.outputs = chosen_outputs(spec, first.outputs().iter().map(port).collect())?;
        lock(&model.idle).push(first);
        Ok(model)
    }

    /// The model's registry line.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// What the graph takes.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What is used of what the graph gives.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The graph's one input, when it has `shape`: 0 there is any dimension, and a free dimension of the graph is any too.
    pub fn need_input(&self, shape: &[usize]) -> Result<&Port, OnnxError> {
        let fits = |port: &&Port| {
            let same = |(&got, &want): (&usize, &usize)| got == 0 || want == 0 || got == want;
            port.shape.len() == shape.len() && port.shape.iter().zip(shape).all(same)
        };
        let [input] = &self.inputs[..] else {
            return Err(self.unfit("file", format!("the graph has {} inputs, one is given", self.inputs.len())));
        };
        Some(input).filter(fits).ok_or_else(|| {
            let (got, want) = (dimensions(&input.shape), dimensions(shape));
            self.unfit("file", format!("input {} of the graph is {got}, {want} is given", input.name))
        })
    }

    /// The graph's one output that is used.
    pub fn need_output(&self) -> Result<&Port, OnnxError> {
        match &self.outputs[..] {
            [output] => Ok(output),
            several => {
                let names: Vec<_> = several.iter().map(|port| port.name.as_str()).collect();
                Err(self
                    .unfit("output", format!("the graph has the outputs {}: name the one to use", names.join(", "))))
            }
        }
    }

    /// A text of the file's metadata.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let idle = lock(&self.idle);
        idle.first()?.metadata().ok()?.custom(key)
    }

    /// An error about this model that names the configuration's `key`, where it is configured.
    pub fn unfit(&self, key: &str, problem: impl Into<String>) -> OnnxError {
        OnnxError::Unfit { field: self.spec.field(key), problem: problem.into() }
    }

    /// Runs the model's one input and hands its outputs to `take`.
    ///
    /// `data`: the product of `shape` values. Blocks for the length of the run; call it from a worker thread.
    pub fn run<T>(
        &self,
        shape: &[usize],
        data: &[f32],
        take: impl FnOnce(&Outputs<'_>) -> Result<T, OnnxError>,
    ) -> Result<T, OnnxError> {
        let failed = |error: ort::Error| OnnxError::Run {
            model: self.spec.id.clone().into_owned(),
            shape: shape.to_vec(),
            reason: error.to_string(),
        };
        let held = lock(&self.idle).pop();
        let mut session = match held {
            Some(session) => session,
            None => self.new_session()?,
        };
        let answer = match TensorRef::from_array_view((shape, data)).and_then(|input| session.run(ort::inputs![input]))
        {
            Ok(values) => take(&Outputs { model: self, values }),
            Err(error) => Err(failed(error)),
        };
        lock(&self.idle).push(session);
        answer
    }

    fn new_session(&self) -> Result<Session, OnnxError> {
        let mut bytes = read_verified(&self.spec, &self.paths.models_dir)?;
        let flushed = tiny::flush(&mut bytes);
        tracing::debug!(model = %self.spec.id, flushed, "Model loaded");
        let refused = |reason: String| {
            let (field, model) = (self.spec.field("file"), self.spec.id.clone().into_owned());
            OnnxError::Load { field, model, reason }
        };
        let mut builder = Session::builder(self.environment)
            .map_err(|error| refused(error.to_string()))?
            .with_execution_providers(provider(self.paths.provider))
            .map_err(|error| OnnxError::Provider {
                library: self.paths.onnxruntime.clone(),
                provider: self.paths.provider.word(),
                reason: error.to_string(),
            })?
            .with_intra_threads(1)
            .map_err(|error| refused(error.to_string()))?
            .with_inter_threads(1)
            .map_err(|error| refused(error.to_string()))?;
        builder.commit_from_memory(&bytes).map_err(|error| refused(error.to_string()))
    }
}

/// What the runtime registers before its own processor, which takes what the others cannot run.
fn provider(provider: Provider) -> Vec<ExecutionProviderDispatch> {
    let provider = match provider {
        Provider::Cpu => return Vec::new(),
        Provider::Cuda => ep::CUDA::default().build(),
        Provider::TensorRt => ep::TensorRT::default().build(),
        Provider::OpenVino => ep::OpenVINO::default().build(),
    };
    vec![provider.error_on_failure()]
}

fn port(outlet: &Outlet) -> Port {
    let shape =
        outlet.dtype().tensor_shape().map(|shape| shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect());
    Port { name: outlet.name().to_owned(), shape: shape.unwrap_or_default() }
}

/// The outputs that the registry line names, else the one it chooses, else all.
fn chosen_outputs(spec: &ModelSpec, of_graph: Vec<Port>) -> Result<Vec<Port>, OnnxError> {
    let find = |name: &str| {
        of_graph.iter().find(|port| port.name == name).cloned().ok_or_else(|| {
            let names: Vec<_> = of_graph.iter().map(|port| port.name.as_str()).collect();
            let problem = format!("the graph has no output {name:?}, but {}", names.join(", "));
            OnnxError::Unfit { field: spec.field("output"), problem }
        })
    };
    match &spec.output {
        Some(name) => Ok(vec![find(name)?]),
        None if spec.outputs.is_empty() => Ok(of_graph),
        None => spec.outputs.iter().map(|want| Ok(Port { shape: want.shape.to_vec(), ..find(want.name)? })).collect(),
    }
}

/// Dimensions for people: `1×3×?×?`.
fn dimensions(shape: &[usize]) -> String {
    let each = |&d: &usize| if d == 0 { "?".to_owned() } else { d.to_string() };
    shape.iter().map(each).collect::<Vec<_>>().join("×")
}

impl Outputs<'_> {
    /// Output number `index` of those used: its values, checked against the shape expected.
    pub fn tensor(&self, index: usize) -> Result<&[f32], OnnxError> {
        self.tensor_with_shape(index).map(|(_, values)| values)
    }

    /// Like [`Outputs::tensor`], with the shape received.
    pub fn tensor_with_shape(&self, index: usize) -> Result<(&[i64], &[f32]), OnnxError> {
        let wrong = |name: &str, shape: &[i64]| {
            let remedy = "the file does not belong to this release";
            self.model.unfit("file", format!("the model gave output {name} of shape {shape:?}; {remedy}"))
        };
        let expected = self.model.outputs.get(index).ok_or_else(|| wrong("of that number", &[]))?;
        let value = self.values.get(&*expected.name).ok_or_else(|| wrong(&expected.name, &[]))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(|_| wrong(&expected.name, &[]))?;
        let fits = shape.len() == expected.shape.len()
            && shape.iter().zip(&expected.shape).all(|(&got, &want)| want == 0 || got == want as i64);
        if fits { Ok((shape, values)) } else { Err(wrong(&expected.name, shape)) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutexes here hold is whole at every step: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
