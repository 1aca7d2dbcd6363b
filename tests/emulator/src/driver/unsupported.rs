//! Functions that programs may link against, but that are not supported: graphs, textures, surfaces, arrays, the linker, imported memory,
//! cooperative launches, and other devices.

use super::errors::Error;

macro_rules! unsupported {
    ($($name:ident)*) => {
        super::api! {
            $(plain fn $name() with () {
                eprintln!("ptx-emulator: {} is not supported", stringify!($name));
                Err(Error::NotSupported)
            })*
        }
    };
}

unsupported! {
    cuArray3DCreate_v2
    cuArray3DGetDescriptor_v2
    cuArrayCreate_v2
    cuArrayDestroy
    cuArrayGetDescriptor_v2
    cuCtxEnablePeerAccess
    cuCtxDisablePeerAccess
    cuDestroyExternalMemory
    cuDeviceCanAccessPeer
    cuExternalMemoryGetMappedBuffer
    cuGraphAddKernelNode
    cuGraphCreate
    cuGraphDebugDotPrint
    cuGraphDestroy
    cuGraphExecDestroy
    cuGraphGetEdges
    cuGraphGetNodes
    cuGraphInstantiate
    cuGraphKernelNodeGetParams
    cuGraphLaunch
    cuGraphNodeGetType
    cuImportExternalMemory
    cuLaunchCooperativeKernel
    cuLaunchKernelEx
    cuLinkAddData_v2
    cuLinkComplete
    cuLinkCreate_v2
    cuLinkDestroy
    cuMemHostRegister_v2
    cuMemHostUnregister
    cuMemcpy2DUnaligned_v2
    cuMemcpy3D_v2
    cuMemcpyAtoH_v2
    cuMemcpyHtoA_v2
    cuModuleGetSurfRef
    cuModuleGetTexRef
    cuModuleLoadFatBinary
    cuStreamBeginCapture_v2
    cuStreamEndCapture
    cuSurfObjectCreate
    cuSurfObjectDestroy
    cuSurfObjectGetResourceDesc
    cuTexObjectCreate
    cuTexObjectDestroy
    cuTexObjectGetResourceDesc
    cuTexObjectGetResourceViewDesc
}
